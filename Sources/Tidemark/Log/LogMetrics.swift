import Metrics

/// What a log measures, through swift-metrics. The names, types and labels are a contract: the article *Metrics* has them
/// all, and a test compares.
struct LogMetrics: Sendable {
    private let persisted: Counter
    private let alreadyPersisted: Counter
    private let keyConflicts: Counter
    private let writersClosed: Counter
    private let writersRetired: Counter
    private let falseNews: Counter
    private let foreign: Counter
    private let announcedPositions: Counter
    private let announcedRows: Counter
    private let minimum: Gauge
    private let newest: Gauge
    private let heldBackMilliseconds: Gauge

    /// - Parameter instance: its name; that of a reader which was given none is made up, and would be another label each
    ///   time: all of them have one.
    init(stream: StreamName, instance: String, factory: any MetricsFactory = MetricsSystem.factory) {
        let labels = [("stream", stream.rawValue), ("instance", instance)]
        persisted = Counter(label: "tidemark_events_persisted", dimensions: labels, factory: factory)
        alreadyPersisted = Counter(label: "tidemark_events_already_persisted", dimensions: labels, factory: factory)
        keyConflicts = Counter(label: "tidemark_key_conflicts", dimensions: labels, factory: factory)
        writersClosed = Counter(label: "tidemark_writers_closed", dimensions: labels, factory: factory)
        writersRetired = Counter(label: "tidemark_writers_retired", dimensions: labels, factory: factory)
        falseNews = Counter(label: "tidemark_false_announcements", dimensions: labels, factory: factory)
        foreign = Counter(label: "tidemark_foreign_announcements", dimensions: labels, factory: factory)
        announcedPositions = Counter(label: "tidemark_announced_positions", dimensions: labels, factory: factory)
        announcedRows = Counter(label: "tidemark_announced_rows", dimensions: labels, factory: factory)
        minimum = Gauge(label: "tidemark_minimum_persisted_position", dimensions: labels, factory: factory)
        newest = Gauge(label: "tidemark_newest_known_position", dimensions: labels, factory: factory)
        heldBackMilliseconds = Gauge(
            label: "tidemark_minimum_held_back_milliseconds", dimensions: labels, factory: factory)
    }

    func committed(_ outcomes: [PersistOutcome]) {
        let new = outcomes.reduce(0) { count, outcome in
            if case .persisted = outcome { count + 1 } else { count }
        }
        persisted.increment(by: new)
        alreadyPersisted.increment(by: outcomes.count - new)
    }

    /// A call whose condition did not hold.
    func conflicted() { keyConflicts.increment() }

    /// By this log.
    func closedWriter() { writersClosed.increment() }
    func retiredWriter() { writersRetired.increment() }

    /// Of so many writers something was heard that cannot be true.
    func heardFalsely(_ writers: Int) { falseNews.increment(by: writers) }

    /// Something of a writer that did not join this database.
    func heardForeign() { foreign.increment() }

    func announced(_ messages: [StreamMessage]) {
        let rows = messages.count { if case .position = $0 { false } else { $0 != .question } }
        if rows > 0 { announcedRows.increment(by: rows) }
        let positions = messages.count { if case .position = $0 { true } else { false } }
        if positions > 0 { announcedPositions.increment(by: positions) }
    }

    func observed(minimum position: StreamID, newest known: StreamID, heldBackFor duration: Duration) {
        minimum.record(position.rawValue)
        newest.record(known.rawValue)
        heldBackMilliseconds.record(duration / .milliseconds(1))
    }
}
