/// Notices that the minimum stands still while something above it is known.
struct StallWatch: Sendable {
    let limit: Duration
    private var minimum: StreamID?
    private var since: Duration?
    private var reportedAt: Duration?

    init(limit: Duration) {
        self.limit = limit
    }

    /// True once the limit has passed, and again each time that it has passed since.
    mutating func isStalled(minimum: StreamID, known: StreamID, now: Duration) -> Bool {
        guard minimum == self.minimum, known > minimum, let since else {
            self.minimum = minimum
            since = known > minimum ? now : nil
            reportedAt = nil
            return false
        }
        guard now - (reportedAt ?? since) >= limit else { return false }
        reportedAt = now
        return true
    }

    /// For how long it has stood still by now.
    func duration(now: Duration) -> Duration {
        since.map { now - $0 } ?? .zero
    }
}

/// Decides when to name a writer that said something false: once, and then at most once a minute.
struct FalseNewsTold: Sendable {
    private static let interval = Duration.seconds(60)
    private static let limit = 256
    private var last: [Writer: Duration] = [:]

    mutating func isDue(_ writers: [Writer], now: Duration) -> Bool {
        if writers.allSatisfy({ last[$0].map { now - $0 < Self.interval } ?? false }) { return false }
        if last.count + writers.count > Self.limit { last = [:] }
        for writer in writers { last[writer] = now }
        return true
    }
}

/// Lets something be logged once, and then at most once per interval.
package struct RareLog: Sendable {
    private let interval: Duration
    private var last: Duration?

    package init(interval: Duration) {
        self.interval = interval
    }

    package func isDue(now: Duration) -> Bool {
        last.map { now - $0 >= interval } ?? true
    }

    package mutating func logged(now: Duration) { last = now }
}
