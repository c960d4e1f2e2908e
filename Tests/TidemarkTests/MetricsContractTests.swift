import Logging
import Metrics
import MetricsTestKit
import TestSupport
import Testing
import TidemarkTesting

@testable import Tidemark

/// The metrics are those that the documentation names, with these types and labels.
@Suite struct MetricsContractTests {
    let metrics = TestMetrics()

    @Test func `a log measures what the article says`() throws {
        _ = LogMetrics(stream: "orders", instance: "p1", factory: metrics)
        #expect(made(["stream": "orders", "instance": "p1"]) == (try MetricsTable().sections["Of a log"]))
    }

    @Test func `a consumer measures what the article says`() throws {
        _ = ConsumerMetrics(stream: "orders", consumer: "mailer", factory: metrics)
        #expect(made(["stream": "orders", "consumer": "mailer"]) == (try MetricsTable().sections["Of a consumer"]))
    }

    @Test func `where a consumer is and how far behind is measured with each batch and each checkpoint`() async throws {
        let log = try await EventLog.open(InMemoryEventStore(), stream: "events", instance: "p1", transport: nil)
        try await log.persist((0..<3).map { Event(id: "e\($0)", type: "noted") })
        let consumer = try await withMetricsFactory(metrics) { try await log.consumer("mailer") }
        let labels = [("stream", "events"), ("consumer", "mailer")]
        func measured(_ name: String) throws -> Double? { try metrics.expectGauge(name, labels).lastValue }
        var batches = consumer.events.makeAsyncIterator()
        let batch = try #require(try await batches.next())
        #expect(try measured("tidemark_consumer_position") == 0)
        #expect(try measured("tidemark_consumer_lag_events") == 3)
        try await consumer.checkpoint(batch.ending(at: 2))
        #expect(try measured("tidemark_consumer_position") == 2)
        #expect(try measured("tidemark_consumer_lag_events") == 1)
        try await consumer.checkpoint(batch)
        #expect(try measured("tidemark_consumer_position") == 3)
        #expect(try measured("tidemark_consumer_lag_events") == 0)
        #expect(try measured("tidemark_consumer_lag_seconds") == 0)
        await log.shutDown()
    }

    @Test func `a processor measures what the article says`() throws {
        _ = ProcessorMetrics(stream: "orders", consumer: "mailer", factory: metrics)
        #expect(made(["stream": "orders", "consumer": "mailer"]) == (try MetricsTable().sections["Of a processor"]))
    }

    @Test func `a background process measures what the article says`() throws {
        _ = BackgroundProcess("count-sheep", logger: Logger(label: "test"), metrics: metrics)
        #expect(made(["process": "count-sheep"]) == (try MetricsTable().sections["Of background processes"]))
    }

    @Test func `a conflict of a key is counted`() async throws {
        let log = try await withMetricsFactory(metrics) {
            try await EventLog.open(
                InMemoryEventStore(), stream: "events", instance: "p1", transport: LocalTransport(),
                configuration: EventLogConfiguration(hasKeyIndex: true))
        }
        try await log.persist([Event(id: "a", type: "noted", key: "k")], ifNewest: nil, ofKey: "k")
        let conflicts = try metrics.expectCounter("tidemark_key_conflicts", [("stream", "events"), ("instance", "p1")])
        #expect(conflicts.totalValue == 0)
        await #expect(throws: TidemarkError.conflict(key: "k", expected: nil, found: 1)) {
            try await log.persist([Event(id: "b", type: "noted", key: "k")], ifNewest: nil, ofKey: "k")
        }
        #expect(conflicts.totalValue == 1)
        await log.shutDown()
    }

    /// Whoever collects metrics keeps each label for ever.
    @Test func `readers that were given no name share their labels, however many there were`() async throws {
        let store = InMemoryEventStore()
        var names: Set<InstanceName> = []
        for _ in 0..<5 {
            let log = try await withMetricsFactory(metrics) {
                try await EventLog.open(store, transport: LocalTransport())
            }
            names.insert(log.instance)
            try await log.reconcile()
            await log.shutDown()
        }
        #expect(names.count == 5)
        let dimensions =
            metrics.counters.map(\.dimensions) + metrics.recorders.map(\.dimensions) + metrics.timers.map(\.dimensions)
        let instances = Set(dimensions.joined().filter { $0.0 == "instance" }.map(\.1))
        #expect(instances == ["reader"])
        #expect(!dimensions.joined().contains { label in names.contains { $0.rawValue == label.1 } })
    }

    @Test func `a table is read by its headings`() {
        let table = MetricsTable(
            parsing: """
                # Metrics
                ### One
                | Metric | Type | Unit | Labels | What it says |
                | --- | --- | --- | --- | --- |
                | `tidemark_a` | counter | events | `b`, `c` | d |
                ### Two
                | `tidemark_e` | gauge | users | `b` | f |
                | `b` | of another table |
                """)
        #expect(
            table.sections == [
                "One": [MetricsTable.Metric("tidemark_a", "counter", labels: ["b", "c"])],
                "Two": [MetricsTable.Metric("tidemark_e", "gauge", labels: ["b"])],
            ])
    }

    /// What was made, if every label has the value that it was given.
    private func made(_ values: [String: String]) -> Set<MetricsTable.Metric> {
        func metric(_ label: String, _ type: String, _ dimensions: [(String, String)]) -> MetricsTable.Metric {
            MetricsTable.Metric(label, type, labels: dimensions.filter { values[$0.0] == $0.1 }.map(\.0))
        }
        return Set(
            metrics.counters.map { metric($0.label, "counter", $0.dimensions) }
                + metrics.recorders.map { metric($0.label, $0.aggregate ? "recorder" : "gauge", $0.dimensions) }
                + metrics.timers.map { metric($0.label, "timer", $0.dimensions) }
                + metrics.meters.map { metric($0.label, "meter", $0.dimensions) })
    }
}
