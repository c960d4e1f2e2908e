import MetricsTestKit
import TestSupport
import Testing
import Tidemark
import TidemarkHomeserver
import TidemarkTesting

/// The metrics are those that the documentation names, with these types and labels.
@Suite struct MetricsContractTests {
    @Test func `presence measures what the article says`() throws {
        let metrics = TestMetrics()
        let transport = LocalTransport()
        _ = PresenceRegistry(transport: transport, name: "p1", metrics: metrics)
        _ = PresenceReporter(transport: transport, name: "p1", metrics: metrics)
        let made =
            metrics.counters.map { MetricsTable.Metric($0.label, "counter", labels: $0.dimensions.map(\.0)) }
            + metrics.recorders.map {
                MetricsTable.Metric($0.label, $0.aggregate ? "recorder" : "gauge", labels: $0.dimensions.map(\.0))
            }
        #expect(Set(made) == (try MetricsTable().sections["Of presence"]))
    }
}
