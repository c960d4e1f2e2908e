import ArgumentParser
import Tidemark

/// Looks for the name that was meant where a command or an option is not one of the program's.
enum Misspelling {
    /// - Throws: ``UsageFailure`` for a word that is no command where only a command can be.
    static func check(commandsOf arguments: [String]) throws {
        var command: any ParsableCommand.Type = TidemarkCommand.self
        for argument in arguments {
            let known = names(of: command)
            if known.isEmpty || argument.hasPrefix("-") { return }
            if argument == "help" { continue }
            guard let next = subcommand(argument, of: command) else {
                let hint = suggestion(for: argument, among: known) ?? "there are " + known.joined(separator: ", ")
                throw UsageFailure(problem: "there is no command \(argument): \(hint)")
            }
            command = next
        }
    }

    /// Only for arguments that could not be parsed: a value may look like an option.
    ///
    /// - Throws: ``UsageFailure`` for the first option that the command does not have and that is much like one it has.
    static func check(optionsOf arguments: [String]) throws {
        var command: any ParsableCommand.Type = TidemarkCommand.self
        for argument in arguments {
            guard let next = subcommand(argument, of: command) else { break }
            command = next
        }
        let known = TidemarkCommand.helpMessage(for: command).matches(of: /--[a-z][a-z-]*/).map { String($0.0) }
        for argument in arguments.prefix(while: { $0 != "--" }) where argument.hasPrefix("--") {
            // What follows may be a password.
            let name = String(argument.prefix { $0 != "=" })
            if known.contains(name) { continue }
            guard let hint = suggestion(for: name, among: known) else { continue }
            throw UsageFailure(problem: "there is no option \(name): \(hint)")
        }
    }

    /// "did you mean …?" for the name that takes the fewest changes, where these are few.
    private static func suggestion(for name: String, among known: [String]) -> String? {
        Spelling.nearest(to: name, among: known).map { "did you mean \($0)?" }
    }

    private static func names(of command: any ParsableCommand.Type) -> [String] {
        command.configuration.subcommands.compactMap { $0.configuration.commandName }
    }

    private static func subcommand(
        _ name: String, of command: any ParsableCommand.Type
    ) -> (any ParsableCommand.Type)? {
        command.configuration.subcommands.first { $0.configuration.commandName == name }
    }
}
