/// `tcp://host:port`, and beyond loopback `tcp://host:port?certificate=PATH&key=PATH&trust=PATH`: a transport as one setting.
package struct TCPURL: Hashable, Sendable, CustomStringConvertible {
    package let host: String
    package let port: Int
    package let tls: TLSFiles?

    /// - Throws: ``InvalidTCPURL``.
    package init(parsing text: String) throws(InvalidTCPURL) {
        guard text.hasPrefix("tcp://") else { throw .address }
        let parts = text.dropFirst("tcp://".count)
            .split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let address = parts[0]
        guard let colon = address.lastIndex(of: ":"), let port = Int(address[address.index(after: colon)...]),
            (1...65535).contains(port)
        else { throw .address }
        var host = address[..<colon]
        // An IPv6 address is in brackets, as in any URL (RFC 3986, section 3.2.2).
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        guard !host.isEmpty else { throw .address }
        self.host = String(host)
        self.port = port
        tls = parts.count == 1 ? nil : try Self.files(parsing: parts[1])
    }

    private static func files(parsing query: Substring) throws(InvalidTCPURL) -> TLSFiles {
        var paths: [Substring: String] = [:]
        for item in query.split(separator: "&", omittingEmptySubsequences: false) {
            let pair = item.split(separator: "=", maxSplits: 1)
            if pair.count == 2 { paths[pair[0]] = String(pair[1]) }
        }
        guard paths.count == 3, let certificate = paths["certificate"], let key = paths["key"],
            let trust = paths["trust"]
        else { throw .files }
        return TLSFiles(certificateChain: certificate, privateKey: key, trustRoots: trust)
    }

    package var description: String { "tcp://\(host):\(port)" }
}

/// Why a text is no URL of a TCP transport.
package enum InvalidTCPURL: Error, Hashable, Sendable, CustomStringConvertible {
    case address
    case files

    package var description: String {
        switch self {
        case .address: "give the address as tcp://host:port, with a port from 1 to 65535"
        case .files: "TLS needs three PEM files: tcp://host:port?certificate=PATH&key=PATH&trust=PATH"
        }
    }
}
