import NIOCore
import NIOSSL

/// The two sides of TLS, made once from the files: certificates are checked in both directions.
struct TLSContexts: Sendable {
    private let server: NIOSSLContext
    private let client: NIOSSLContext

    /// How long a side that closes waits for the other one's word of it: a process that is stopped, or that never went
    /// through the handshake, says none.
    static let farewell = TimeAmount.milliseconds(250)

    /// - Throws: ``TCPTransportError/unusableTLS(problem:)``.
    init(_ files: TLSFiles) throws(TCPTransportError) {
        do {
            let chain = try NIOSSLCertificate.fromPEMFile(files.certificateChain)
            let key = try NIOSSLPrivateKey(file: files.privateKey, format: .pem)
            var serving = TLSConfiguration.makeServerConfigurationWithMTLS(
                certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key),
                trustRoots: .file(files.trustRoots))
            serving.minimumTLSVersion = .tlsv12
            serving.shutdownTimeout = Self.farewell
            server = try NIOSSLContext(configuration: serving)
            var connecting = TLSConfiguration.makeClientConfiguration()
            connecting.minimumTLSVersion = .tlsv12
            connecting.shutdownTimeout = Self.farewell
            connecting.trustRoots = .file(files.trustRoots)
            connecting.certificateChain = chain.map { .certificate($0) }
            connecting.privateKey = .privateKey(key)
            client = try NIOSSLContext(configuration: connecting)
        } catch {
            throw .unusableTLS(problem: "\(error)")
        }
    }

    func serverHandler() -> NIOSSLServerHandler { NIOSSLServerHandler(context: server) }

    /// The server's certificate has to be for the host, by its name or its address.
    func clientHandler(host: String) throws -> NIOSSLClientHandler {
        // A name goes into the greeting, an address must not: the certificate is then checked for it all the same.
        let isAddress = (try? SocketAddress(ipAddress: host, port: 0)) != nil
        return try NIOSSLClientHandler(context: client, serverHostname: isAddress ? nil : host)
    }
}
