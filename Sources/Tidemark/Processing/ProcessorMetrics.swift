import Metrics

/// What a processor measures, through swift-metrics, with the labels `stream` and `consumer`.
struct ProcessorMetrics: Sendable {
    private let place: ConsumerMetrics
    private let partitions: Gauge
    private let attempts: Counter
    private let failures: Counter
    private let parkedEvents: Counter
    private let handlerTime: Metrics.Timer

    init(stream: StreamName, consumer: ConsumerName, factory: any MetricsFactory = MetricsSystem.factory) {
        let labels = [("stream", stream.rawValue), ("consumer", consumer.rawValue)]
        place = ConsumerMetrics(stream: stream, consumer: consumer, factory: factory)
        partitions = Gauge(label: "tidemark_consumer_partitions_owned", dimensions: labels, factory: factory)
        attempts = Counter(label: "tidemark_consumer_attempts", dimensions: labels, factory: factory)
        failures = Counter(label: "tidemark_consumer_failures", dimensions: labels, factory: factory)
        parkedEvents = Counter(label: "tidemark_consumer_parked", dimensions: labels, factory: factory)
        handlerTime = Metrics.Timer(label: "tidemark_consumer_handler_duration", dimensions: labels, factory: factory)
    }

    func handled(_ ending: EventProcessor.HandlerEnding, took duration: Duration) {
        attempts.increment()
        handlerTime.record(duration: duration)
        switch ending {
        case .failed, .unknown: failures.increment()
        case .succeeded, .succeededDurably: break
        }
    }

    func parked() { parkedEvents.increment() }

    func owns(partitions count: Int) { partitions.record(count) }

    /// - Parameters:
    ///   - reached: the least position of the partitions of this process; IDs that hold no event count too.
    ///   - handledMilliseconds: when the last event that was handled had been persisted; nil before there was one.
    func reached(_ reached: StreamID, newest: StreamID, handledMilliseconds: Int64?) {
        place.reached(reached, newest: newest, milliseconds: handledMilliseconds)
    }
}
