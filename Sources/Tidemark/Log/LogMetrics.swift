import Logging
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

    /// Counts writers that said something that cannot be true.
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

extension StreamMachine.Report {
    /// What a person should know is logged, and counted.
    ///
    /// - Parameter outward: the number that an ID has for users.
    func tell(_ logger: Logger, _ metrics: LogMetrics?, outward: (StreamID) -> StreamID) {
        switch self {
        case .scopeExpired(let ids):
            logger.warning(
                "a scope ran over its time limit", metadata: ["ids": "\(ids.count) from \(outward(ids[0]))"])
        case .closed(let ids):
            logger.notice(
                "IDs in flight were closed", metadata: ["count": "\(ids.count)", "lowest": "\(outward(ids[0]))"])
        case .falseNews(let news, let isSaid):
            metrics?.heardFalsely(news.writers.count)
            guard isSaid else { return }
            logger.warning(
                "what was heard is above the sequence, and cannot be true: it counts for nothing",
                metadata: [
                    "said_by": "\(news.writers.map(\.description).sorted().joined(separator: ", "))",
                    "heard": "\(news.heard)", "sequence": "\(news.sequence)",
                ])
        case .foreign(let speaker, let isFirst):
            metrics?.heardForeign()
            guard isFirst else { return }
            logger.warning(
                """
                a writer of another database speaks on this channel: it is not heard; give each database a channel of its \
                own
                """,
                metadata: ["said_by": "\(speaker)"])
        case .fellSilent(let stream, let writer):
            logger.warning(
                """
                other software announces streams on this channel: this log does not speak there, and what it writes is \
                read through the database, which is slower; give it a channel of its own
                """,
                metadata: ["announced": "\(stream)", "said_by": "\(writer)"])
        case .strangeLine(let stream, let writer):
            logger.warning(
                "streams are announced without an epoch on the database's own channel: that counts for nothing",
                metadata: ["announced": "\(stream)", "said_by": "\(writer)"])
        case .speaksAgain:
            logger.notice("no other software is heard on this channel any more: this log speaks there again")
        }
    }
}
