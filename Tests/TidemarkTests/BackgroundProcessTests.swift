import InMemoryTracing
import Logging
import MetricsTestKit
import TestSupport
import Testing
import Tidemark

@Suite struct BackgroundProcessTests {
    struct Failed: Error {}

    let metrics = TestMetrics()
    let tracer = InMemoryTracer()
    let lines = LogLines()
    let process: BackgroundProcess

    init() {
        let lines = lines
        process = BackgroundProcess(
            "count-sheep", labels: [("stream", "events")], logger: lines.logger,
            metrics: metrics, tracer: tracer)
    }

    let labels = [("process", "count-sheep"), ("stream", "events")]

    func count(_ label: String) throws -> Int64 {
        try metrics.expectCounter(label, labels).totalValue
    }

    @Test func `runs are counted measured and seen while they go on`() async throws {
        let gauge = try metrics.expectGauge("tidemark_background_in_flight", labels)
        let process = process
        let seen = try await process.run { _ in
            try await process.run { _ in gauge.lastValue }
        }
        #expect(seen == 2)
        #expect(gauge.lastValue == 0)
        #expect(process.runsInFlight == 0)
        #expect(try count("tidemark_background_runs") == 2)
        #expect(try count("tidemark_background_errors") == 0)
        #expect(try metrics.expectTimer("tidemark_background_duration", labels).values.count == 2)
    }

    @Test func `a failure is logged counted and thrown`() async throws {
        await #expect(throws: Failed.self) { try await process.run { _ in throw Failed() } }
        #expect(try count("tidemark_background_errors") == 1)
        #expect(try metrics.expectTimer("tidemark_background_duration", labels).values.count == 1)
        #expect(process.runsInFlight == 0)
        let logged = lines.lines("a background process failed")
        #expect(logged.map(\.level) == [.error])
        #expect(logged.first?.metadata["process"] == "count-sheep")
        #expect(logged.first?.metadata["error"] == "Failed()")
    }

    @Test func `a failure in a task of its own is not lost`() async throws {
        await process.start { _ in throw Failed() }.value
        #expect(try count("tidemark_background_errors") == 1)
        #expect(lines.lines("a background process failed").count == 1)
    }

    @Test func `being cancelled is no failure`() async throws {
        await #expect(throws: CancellationError.self) { try await process.run { _ in throw CancellationError() } }
        #expect(try count("tidemark_background_errors") == 0)
        #expect(lines.lines("a background process failed").isEmpty)
    }

    @Test func `the logger carries the name`() async throws {
        try await process.run { $0.info("a sheep") }
        #expect(lines.lines("a sheep").first?.metadata["process"] == "count-sheep")
    }

    @Test func `each run is a span that records its error`() async throws {
        try await process.run { _ in }
        try? await process.run { _ in throw Failed() }
        let spans = tracer.finishedSpans
        #expect(spans.map(\.operationName) == ["count-sheep", "count-sheep"])
        #expect(spans.map(\.errors.count) == [0, 1])
        #expect(spans.last?.errors.first?.error is Failed)
    }
}
