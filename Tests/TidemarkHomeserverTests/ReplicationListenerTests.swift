import InMemoryTracing
import Logging
import MetricsTestKit
import Synchronization
import TestSupport
import Testing
import Tidemark
import TidemarkTesting
import TidemarkHomeserver
import TidemarkWire
import TidemarkCore

extension InMemoryStream {
    static let writer = Writer("w1", epoch: 0)

    /// A stream of other software, with one writer at 7 when listening begins.
    static func foreign(_ name: StreamName = "caches") -> InMemoryStream {
        InMemoryStream(
            name, positions: [writer: 7],
            own: ReplicationPosition(stream: name, writer: Writer("me", epoch: 0), previous: 3, new: 3))
    }

    /// Writes rows at these tokens, which can be told from those that were heard.
    func keep(_ tokens: ClosedRange<Int64>) throws {
        for token in tokens {
            keep(StreamUpdate(writer: Self.writer, token: StreamID(token), rows: [try JSONText(validating: "1")]))
        }
    }

    /// The tokens of the next updates, marked where they were fetched.
    func next(_ count: Int) async -> [String] {
        var found: [String] = []
        for await update in handled {
            found.append("\(update.token)" + (update.rows.first?.text == "1" ? " fetched" : ""))
            if found.count == count { break }
        }
        return found
    }
}

@Suite(.timeLimit(.minutes(1))) struct ReplicationListenerTests {
    let transport = LocalTransport()
    let metrics = TestMetrics()
    let tracer = InMemoryTracer()
    let lines = LogLines()
    let clock = ManualClock()

    func row(_ id: StreamID, in stream: StreamName = "caches") -> ReplicationCommand {
        .rdata(ReplicationRow(stream: stream, writer: InMemoryStream.writer, token: .id(id), row: .null))
    }

    func position(_ previous: StreamID, _ new: StreamID, in stream: StreamName = "caches") -> ReplicationCommand {
        .position(
            ReplicationPosition(stream: stream, writer: InMemoryStream.writer, previous: previous, new: new))
    }

    /// Listens while the body runs, once everything was caught up with.
    func listening(
        to sources: [InMemoryStream], askingEvery interval: Duration? = nil,
        _ body: (ReplicationListener) async throws -> Void
    ) async throws {
        let lines = lines
        let listener = ReplicationListener(
            transport, as: "me", sources: sources, reconcileInterval: interval, time: TimeSource(clock),
            logger: lines.logger, metrics: metrics, tracer: tracer)
        let running = Task { try await listener.run() }
        await caughtUp(1)
        try await body(listener)
        running.cancel()
        try await running.value
    }

    func caughtUp(_ count: Int) async {
        while transport.caughtUpCount < count { await Task.yield() }
    }

    @Test func `rows are handed on in order`() async throws {
        let source = InMemoryStream.foreign()
        try await listening(to: [source]) { listener in
            transport.inject(position(7, 7))
            for id: StreamID in [8, 9, 10] { transport.inject(row(id)) }
            #expect(await source.next(3) == ["8", "9", "10"])
        }
    }

    @Test func `missed rows come from the source before those that follow`() async throws {
        let source = InMemoryStream.foreign()
        try await listening(to: [source]) { listener in
            try source.keep(8...9)
            transport.inject(position(9, 9))
            transport.inject(row(10))
            #expect(await source.next(3) == ["8 fetched", "9 fetched", "10"])
            #expect(listener.counts(of: "caches")?.gaps == 1)
        }
    }

    @Test func `streams do not wait for each other`() async throws {
        let gate = Gate()
        let slow = InMemoryStream.foreign("slow")
        slow.setHook { _ in await gate.pass() }
        let fast = InMemoryStream.foreign("fast")
        try await listening(to: [slow, fast]) { _ in
            for name: StreamName in ["slow", "fast"] { transport.inject(position(7, 7, in: name)) }
            transport.inject(row(8, in: "slow"))
            await gate.arrivals()
            transport.inject(row(8, in: "fast"))
            #expect(await fast.next(1) == ["8"])
            gate.open()
            #expect(await slow.next(1) == ["8"])
        }
    }

    @Test func `a new connection asks the source and tells its own position`() async throws {
        let source = InMemoryStream.foreign()
        try await listening(to: [source]) { _ in
            let own = try #require(source.own)
            let before = transport.sent.count { $0 == .position(own) }
            try source.keep(8...9)
            transport.reconnect()
            #expect(await source.next(2) == ["8 fetched", "9 fetched"])
            await caughtUp(2)
            #expect(transport.sent.count { $0 == .position(own) } == before + 1)
            transport.inject(.replicate)
            #expect(transport.sent.count { $0 == .position(own) } == before + 2)
        }
    }

    @Test func `many who ask are answered together`() async throws {
        let source = InMemoryStream.foreign()
        try await listening(to: [source]) { _ in
            let own = ReplicationCommand.position(try #require(source.own))
            let before = transport.sent.count { $0 == own }
            for _ in 0..<5000 { transport.inject(.replicate) }
            #expect(transport.sent.count { $0 == own } == before + 1)
            await clock.waitForSleepers(1)
            clock.advance(by: .milliseconds(100))
            while transport.sent.count(where: { $0 == own }) < before + 2 { await Task.yield() }
            #expect(transport.sent.count { $0 == own } == before + 2)
        }
    }

    @Test func `what an instance tells of itself says nothing about rows that nobody heard`() async throws {
        let writer = Writer("me", epoch: 0)
        let source = InMemoryStream(
            "caches", positions: [:],
            own: ReplicationPosition(stream: "caches", writer: writer, previous: 1, new: 3))
        try await listening(to: [source]) { _ in
            let told = ReplicationPosition(stream: "caches", writer: writer, previous: 3, new: 3)
            #expect(transport.sent.contains(.position(told)))
        }
    }

    @Test func `rows that nobody tells of any more are found at the next interval`() async throws {
        let source = InMemoryStream.foreign()
        try await listening(to: [source], askingEvery: .seconds(1)) { listener in
            // Its writer is gone, and nobody asks for anything.
            try source.keep(8...12)
            await clock.waitForSleepers(1)
            clock.advance(by: .seconds(1))
            #expect(await source.next(5) == ["8 fetched", "9 fetched", "10 fetched", "11 fetched", "12 fetched"])
        }
    }

    @Test func `a failure is logged counted and tried again after a delay`() async throws {
        struct Refused: Error {}
        let refusals = Mutex(2)
        let source = InMemoryStream.foreign()
        source.setHook { _ in
            let isRefused = refusals.withLock { left in
                left -= 1
                return left >= 0
            }
            if isRefused { throw Refused() }
        }
        try await listening(to: [source]) { _ in
            transport.inject(position(7, 7))
            try source.keep(8...8)
            transport.inject(row(8))
            for _ in 0..<2 {
                await clock.waitForSleepers(1)
                clock.advance(by: .seconds(1))
            }
            #expect(await source.next(1) == ["8 fetched"])
            let labels = [("process", "replication-rows"), ("stream", "caches")]
            #expect(try metrics.expectCounter("tidemark_background_errors", labels).totalValue == 2)
            let logged = lines.lines("a background process failed")
            #expect(logged.map(\.metadata["process"]) == ["replication-rows", "replication-rows"])
            #expect(logged.first?.metadata["stream"] == "caches")
        }
    }

    @Test func `each step is a span of its name`() async throws {
        let source = InMemoryStream.foreign()
        try await listening(to: [source]) { _ in
            try source.keep(8...8)
            transport.inject(position(8, 8))
            #expect(await source.next(1) == ["8 fetched"])
        }
        #expect(
            Set(tracer.finishedSpans.map(\.operationName)) == [
                "replication-positions", "replication-catch-up", "replication-rows",
            ])
    }
}
