import Logging
import MetricsTestKit
import TestSupport
import Testing

@testable import Tidemark

/// The metrics are those that the documentation names, with these types and labels.
@Suite struct MetricsContractTests {
    let metrics = TestMetrics()

    @Test func `a log measures what the article says`() throws {
        _ = LogMetrics(stream: "orders", instance: "p1", factory: metrics)
        #expect(made(["stream": "orders", "instance": "p1"]) == (try MetricsTable().sections["Of a log"]))
    }

    @Test func `a processor measures what the article says`() throws {
        _ = ProcessorMetrics(stream: "orders", consumer: "mailer", factory: metrics)
        #expect(made(["stream": "orders", "consumer": "mailer"]) == (try MetricsTable().sections["Of a processor"]))
    }

    @Test func `a background process measures what the article says`() throws {
        _ = BackgroundProcess("count-sheep", logger: Logger(label: "test"), metrics: metrics)
        #expect(made(["process": "count-sheep"]) == (try MetricsTable().sections["Of background processes"]))
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
