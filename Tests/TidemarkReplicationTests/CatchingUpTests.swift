import Foundation
import Logging
import Synchronization
import TestSupport
import Testing
import Tidemark
import TidemarkTesting

@testable import TidemarkReplication
import TidemarkHomeserver
import TidemarkWire
import TidemarkCore

/// A listener that is connected over TCP to a server that says what a test tells it to.
@Suite(.timeLimit(.minutes(1))) struct CatchingUpTests {
    private static let writer = Writer("w1", epoch: 0)
    private let server: HandMadeTCPServer
    private let source = InMemoryStream("caches", positions: [writer: 7])
    private let transport: TCPTransport

    init() throws {
        let server = try HandMadeTCPServer()
        self.server = server
        transport = try .quiet(port: server.port) { $0.role = .client }
    }

    private func keep(_ token: StreamID) throws {
        source.keep(
            StreamUpdate(writer: Self.writer, token: token, rows: [try JSONText(validating: "\"kept\"")]))
    }

    /// What was handed on: token, and rows.
    private func next(_ count: Int) async -> [String] {
        var found: [String] = []
        for await update in source.handled {
            found.append("\(update.token) \(update.rows.map(\.text))")
            if found.count == count { break }
        }
        return found
    }

    private func listening(_ body: () async throws -> Void) async throws {
        let listener = ReplicationListener(
            transport, as: "me", sources: [source], reconcileInterval: nil,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let running = Task { try await listener.run() }
        try await body()
        running.cancel()
        try await running.value
    }

    private func nextClient() async throws -> HandMadePeer { try #require(await server.accept()) }

    @Test func `a client gives its name and asks for positions`() async throws {
        try await listening {
            let peer = try await nextClient()
            #expect(await peer.read(until: "PING").hasPrefix("NAME me\nREPLICATE\nPING"))
        }
    }

    @Test func `own echoes are not handled twice`() async throws {
        try await listening {
            let peer = try await nextClient()
            peer.write("SERVER tidemark\nPOSITION caches me 7 7\nRDATA caches me 8 [1]\n")
            peer.write("POSITION caches w1 7 7\nRDATA caches w1 8 [2]\n")
            #expect(await next(1) == ["8 [\"[2]\"]"])
        }
    }

    @Test func `a connection killed in the middle of a batch costs no row`() async throws {
        try await listening {
            let first = try await nextClient()
            first.write("SERVER tidemark\nPOSITION caches w1 7 7\nRDATA caches w1 8 [1]\n")
            #expect(await next(1) == ["8 [\"[1]\"]"])
            first.write("RDATA caches w1 batch [2]\n")
            try keep(9)
            first.end()
            let second = try await nextClient()
            // The rest of the batch, which this connection did not see the beginning of.
            second.write("SERVER tidemark\nRDATA caches w1 9 [3]\nPOSITION caches w1 9 9\nRDATA caches w1 10 [4]\n")
            #expect(await next(2) == ["9 [\"\\\"kept\\\"\"]", "10 [\"[4]\"]"])
        }
    }

    @Test func `a row that is too long in the middle of a catch up is no tight loop`() async throws {
        let (opened, gate) = AsyncStream<Void>.makeStream()
        source.setHook { _ in for await _ in opened {} }
        try await listening {
            for attempt in 1...4 {
                // The source has what the peer speaks of: a writer that is behind what was heard has begun again.
                try keep(StreamID(Int64(7 + attempt)))
                let peer = try await nextClient()
                // Missed rows: a catch-up begins, and does not end before the connection does.
                peer.write("SERVER tidemark\nPOSITION caches w1 \(7 + attempt) \(7 + attempt)\n")
                peer.write("RDATA caches w1 99 \"\(String(repeating: "x", count: 17_000))\"\n")
                #expect(await peer.read().contains("ERROR a line is longer than 16384 bytes\n"))
                #expect(transport.counts.connectionAttempts == attempt)
                #expect(transport.lastProblem == .lineTooLong(limit: 16384))
            }
            let peer = try await nextClient()
            gate.finish()
            peer.write("SERVER tidemark\nPOSITION caches w1 12 12\nRDATA caches w1 13 [1]\n")
            var last: [String] = []
            while !(last.first?.hasPrefix("13 ") ?? false) { last = await next(1) }
            #expect(last == ["13 [\"[1]\"]"])
            #expect(transport.counts.connectionAttempts == 5)
        }
    }
}
