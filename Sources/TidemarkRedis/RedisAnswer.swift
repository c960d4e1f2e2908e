import TidemarkCore
import TidemarkWire

/// An error that a server answers with, as it may be shown.
enum RedisAnswer {
    private static let limit = 300

    /// A server that does not know a command answers with the arguments that it got: those of `AUTH` have the password,
    /// and those of `PUBLISH` may have a user's access token. They are cut off.
    static func shown(_ answer: String, hiding password: String?) -> String {
        var shown = answer
        if let arguments = shown.firstRange(of: "with args") {
            shown = shown[..<arguments.lowerBound] + "with arguments that are withheld"
        }
        if let password, shown.contains(password) {
            shown = shown.prefix { $0 != " " } + " (the rest is withheld: it holds the password)"
        }
        return shown.shown(atMost: limit)
    }
}
