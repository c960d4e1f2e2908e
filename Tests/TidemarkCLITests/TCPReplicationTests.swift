import Foundation
import Logging
import TestSupport
import Testing
import Tidemark
import TidemarkReplication

/// `--replication tcp://…`.
@Suite struct TCPReplicationTests {
    @Test func `beyond loopback the program asks for TLS`() async throws {
        let folder = try TemporaryFolder()
        let outcome = try await Program.run(
            "ingest", "--database", folder.database, "--instance", "p1", "--replication", "tcp://192.0.2.1:7000")
        #expect(outcome.status == 64)
        #expect(outcome.errors.contains("beyond loopback only with TLS"))
    }

    /// Root may set options of sockets that others may not.
    @Test(.enabled(if: Surroundings.hasPlainUser, "needs setpriv"), .timeLimit(.minutes(1)))
    func `a user who may not do everything serves, and connects`() async throws {
        // Free again, and given to nobody soon.
        let port = try LoopbackListener().port
        let watch = ["replication", "watch", "--replication", "tcp://127.0.0.1:\(port)"]
        let serving = try Program.asPlainUser(watch)
        var configuration = TCPConfiguration()
        configuration.role = .client
        configuration.delays = Backoff(shortest: .milliseconds(10), longest: .milliseconds(100))
        let instance = try await LinkedInstance(
            "p1",
            on: try TCPTransport(
                host: "127.0.0.1", port: port, configuration: configuration,
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }))
        try await instance.waitUntilConnected()
        let connecting = try Program.asPlainUser(watch)
        try await instance.waitForReplicate()
        instance.send(
            .position(ReplicationPosition(stream: "events", writer: Writer("p1", epoch: 1), previous: 3, new: 5)))
        for program in [serving, connecting] {
            try await eventually { program.lines.contains { $0.hasPrefix("POSITION events p1#1") } }
            program.send(SIGTERM)
            let outcome = try await program.outcome()
            #expect(outcome.status == 0 && outcome.errors.isEmpty, "\(outcome.errors)")
        }
        await instance.connection.close()
    }
}
