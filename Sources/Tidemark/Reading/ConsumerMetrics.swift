import Metrics

/// Where a consumer is, through swift-metrics, with the labels `stream` and `consumer`.
struct ConsumerMetrics: Sendable {
    private let position: Gauge
    private let lagEvents: Gauge
    private let lagSeconds: Gauge

    init(stream: StreamName, consumer: ConsumerName, factory: any MetricsFactory = MetricsSystem.factory) {
        let labels = [("stream", stream.rawValue), ("consumer", consumer.rawValue)]
        position = Gauge(label: "tidemark_consumer_position", dimensions: labels, factory: factory)
        lagEvents = Gauge(label: "tidemark_consumer_lag_events", dimensions: labels, factory: factory)
        lagSeconds = Gauge(label: "tidemark_consumer_lag_seconds", dimensions: labels, factory: factory)
    }

    /// - Parameters:
    ///   - reached: everything at or below it is done; IDs that hold no event count too.
    ///   - newest: what may be read.
    ///   - milliseconds: when an event had been persisted that stands for how late the consumer is; nil before there was one.
    func reached(_ reached: StreamID, newest: StreamID, milliseconds: Int64?) {
        position.record(reached.rawValue)
        lagEvents.record(max(0, newest.rawValue - reached.rawValue))
        guard reached < newest, let milliseconds else { return lagSeconds.record(0) }
        lagSeconds.record(max(0, Double(WallClock.milliseconds() - milliseconds) / 1_000))
    }
}
