import ArgumentParser
import NIOSSL
import TidemarkRedis

/// `redis://[user:password@]host:port[/CHANNEL]`, or `rediss://` with, after a `?`, files in PEM that are not those of the
/// system: `trust=PATH` for whom to trust, `certificate=PATH&key=PATH` for who this is.
struct RedisOption: Hashable, Sendable {
    let url: RedisURL
    private let trust: String?
    private let certificate: String?
    private let key: String?

    /// - Throws: `ValidationError`, which never holds the password.
    init(parsing text: String) throws {
        let parts = text.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        do throws(InvalidRedisURL) {
            url = try RedisURL(parsing: String(parts[0]))
        } catch {
            throw ValidationError(error.description)
        }
        var files = parts.count == 1 ? [:] : try Self.files(parsing: parts[1])
        trust = files.removeValue(forKey: "trust")
        certificate = files.removeValue(forKey: "certificate")
        key = files.removeValue(forKey: "key")
        guard files.isEmpty, (certificate == nil) == (key == nil), url.usesTLS || parts.count == 1 else {
            throw ValidationError("after rediss://… only ?trust=PATH&certificate=PATH&key=PATH may follow")
        }
    }

    private static func files(parsing query: Substring) throws -> [Substring: String] {
        var files: [Substring: String] = [:]
        for item in query.split(separator: "&", omittingEmptySubsequences: false) {
            let pair = item.split(separator: "=", maxSplits: 1)
            guard pair.count == 2, files.updateValue(String(pair[1]), forKey: pair[0]) == nil else {
                throw ValidationError("what follows the ? of a URL is NAME=PATH, each name once")
            }
        }
        return files
    }

    func transport(configuration: RedisConfiguration = RedisConfiguration()) throws -> RedisTransport {
        var tls = TLSConfiguration.makeClientConfiguration()
        if let trust { tls.trustRoots = .file(trust) }
        if let certificate, let key {
            do {
                tls.certificateChain = try NIOSSLCertificate.fromPEMFile(certificate).map { .certificate($0) }
                tls.privateKey = .privateKey(try NIOSSLPrivateKey(file: key, format: .pem))
            } catch {
                throw UnreadableCertificate(problem: "\(error)")
            }
        }
        return RedisTransport(url, configuration: configuration, tls: tls)
    }
}

/// The files that say who this is cannot be used.
struct UnreadableCertificate: ProgramError {
    let problem: String
    var status: ExitStatus { .unavailable }
    var description: String { "the certificate or its key cannot be read: \(problem)" }
}
