import Logging
import TestSupport
import Testing
import Tidemark

@testable import TidemarkReplication

typealias TestInstance = LinkedInstance<UnixSocketTransport>
typealias TCPInstance = LinkedInstance<TCPTransport>

extension LinkedInstance where Transport == UnixSocketTransport {
    convenience init(
        _ name: InstanceName, in folder: String, configuration: SocketConfiguration = SocketConfiguration()
    ) async throws {
        try await self.init(name, on: .quiet(folder, configuration))
    }
}

extension TCPTransport {
    /// One at 127.0.0.1 whose warnings do not fill the output.
    static func quiet(
        host: String = "127.0.0.1", port: Int, _ change: (inout TCPConfiguration) -> Void = { _ in }
    ) throws -> TCPTransport {
        var configuration = TCPConfiguration()
        configuration.delays = Backoff(shortest: .milliseconds(10), longest: .seconds(1))
        change(&configuration)
        return try TCPTransport(
            host: host, port: port, configuration: configuration,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }
}

extension LinkedInstance where Transport == TCPTransport {
    /// A server at a port that the system chose, which it tells.
    static func server(
        _ name: InstanceName, host: String = "127.0.0.1", _ change: (inout TCPConfiguration) -> Void = { _ in }
    ) async throws -> (server: TCPInstance, port: Int) {
        let transport = try TCPTransport.quiet(host: host, port: 0) { configuration in
            configuration.role = .server
            change(&configuration)
        }
        let server = try await TCPInstance(name, on: transport)
        try await server.waitUntilConnected()
        return (server, try #require(await transport.servedPort))
    }
}

extension UnixSocketTransport {
    /// One whose warnings, which tests bring about on purpose, do not fill the output.
    static func quiet(
        _ folder: String, _ configuration: SocketConfiguration = SocketConfiguration()
    ) -> UnixSocketTransport {
        UnixSocketTransport(
            directory: folder, configuration: configuration,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }
}

extension TestCertificates {
    func files(for name: String) throws -> TLSFiles {
        let paths = try paths(for: name)
        return TLSFiles(certificateChain: paths.certificate, privateKey: paths.key, trustRoots: paths.trust)
    }
}

func position(_ instance: InstanceName, _ position: StreamID) -> ReplicationCommand {
    .position(
        ReplicationPosition(stream: "events", writer: Writer(instance, epoch: 1), previous: position, new: position))
}

func row(_ id: StreamID?, bytes: Int = 1) throws -> ReplicationCommand {
    let text = try JSONText(validating: "\"\(String(repeating: "x", count: bytes))\"")
    return .rdata(
        ReplicationRow(
            stream: "events", writer: Writer("p1", epoch: 1), token: id.map { .id($0) } ?? .batch, row: text))
}
