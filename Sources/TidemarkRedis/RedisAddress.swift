/// A Redis channel as one setting: `redis://[user:password@]host:port[/CHANNEL]`, or `rediss://` with, after a `?`, files in PEM
/// that are not those of the system: `trust=PATH` for whom to trust, `certificate=PATH&key=PATH` for who this is.
package struct RedisAddress: Hashable, Sendable {
    package let url: RedisURL
    let trust: String?
    let certificate: String?
    let key: String?

    /// - Throws: ``InvalidRedisAddress``, which never holds the password.
    package init(parsing text: String) throws(InvalidRedisAddress) {
        let parts = text.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        do {
            url = try RedisURL(parsing: String(parts[0]))
        } catch {
            throw InvalidRedisAddress(description: error.description)
        }
        var files = parts.count == 1 ? [:] : try Self.files(parsing: parts[1])
        trust = files.removeValue(forKey: "trust")
        certificate = files.removeValue(forKey: "certificate")
        key = files.removeValue(forKey: "key")
        guard files.isEmpty, (certificate == nil) == (key == nil), url.usesTLS || parts.count == 1 else {
            throw InvalidRedisAddress(
                description: "after rediss://… only ?trust=PATH&certificate=PATH&key=PATH may follow")
        }
    }

    private static func files(parsing query: Substring) throws(InvalidRedisAddress) -> [Substring: String] {
        var files: [Substring: String] = [:]
        for item in query.split(separator: "&", omittingEmptySubsequences: false) {
            let pair = item.split(separator: "=", maxSplits: 1)
            guard pair.count == 2, files.updateValue(String(pair[1]), forKey: pair[0]) == nil else {
                throw InvalidRedisAddress(description: "what follows the ? of a URL is NAME=PATH, each name once")
            }
        }
        return files
    }
}

/// Why a text is no address of a Redis channel. It holds no part of the text: there may be a password in it.
package struct InvalidRedisAddress: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String
}

/// The files that say who this is cannot be used.
package struct UnreadableCertificate: Error, CustomStringConvertible {
    package let problem: String
    package var description: String { "the certificate or its key cannot be read: \(problem)" }
}
