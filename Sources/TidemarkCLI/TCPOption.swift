import ArgumentParser
import TidemarkReplication

/// `tcp://host:port`, and beyond loopback `tcp://host:port?certificate=PATH&key=PATH&trust=PATH`.
struct TCPOption: Hashable, Sendable {
    let host: String
    let port: Int
    let tls: TLSFiles?

    /// - Parameter text: what follows `tcp://`.
    /// - Throws: `ValidationError`.
    init(parsing text: Substring) throws {
        let parts = text.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let address = parts[0]
        guard let colon = address.lastIndex(of: ":"), let port = Int(address[address.index(after: colon)...]),
            (1...65535).contains(port)
        else { throw ValidationError("give the address as tcp://host:port, with a port from 1 to 65535") }
        var host = address[..<colon]
        // An IPv6 address is in brackets, as in any URL (RFC 3986, section 3.2.2).
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        guard !host.isEmpty else { throw ValidationError("give the address as tcp://host:port") }
        self.host = String(host)
        self.port = port
        tls = parts.count == 1 ? nil : try Self.files(parsing: parts[1])
    }

    private static func files(parsing query: Substring) throws -> TLSFiles {
        var paths: [Substring: String] = [:]
        for item in query.split(separator: "&", omittingEmptySubsequences: false) {
            let pair = item.split(separator: "=", maxSplits: 1)
            if pair.count == 2 { paths[pair[0]] = String(pair[1]) }
        }
        guard paths.count == 3, let certificate = paths["certificate"], let key = paths["key"],
            let trust = paths["trust"]
        else {
            throw ValidationError(
                "TLS needs three PEM files: tcp://host:port?certificate=PATH&key=PATH&trust=PATH")
        }
        return TLSFiles(certificateChain: certificate, privateKey: key, trustRoots: trust)
    }

    /// - Throws: `TCPTransportError` when the certificates cannot be used.
    func transport() throws -> TCPTransport {
        var configuration = TCPConfiguration()
        configuration.tls = tls
        return try TCPTransport(host: host, port: port, configuration: configuration)
    }
}
