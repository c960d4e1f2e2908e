/// When an instance asks the database for what it may not have heard (rule 9): a moment after something was heard that
/// shows that it has missed something, when the minimum has stood still, and regularly.
struct ReconcileSchedule: Sendable {
    /// What asks for it within this time shares it.
    private static let moment = Duration.milliseconds(20)

    private let interval: Duration?
    private let stallInterval: Duration
    private var soonAt: Duration?
    private var isStopped = false
    /// The last attempt failed: then it is for the regular one to find out when the database is back.
    private(set) var hasFailed = false
    /// It was asked for, and is not over.
    private(set) var isUnderWay = false
    private var stall: StallWatch
    /// When to look at the minimum next; nil while the log does not run.
    private var lookAt: Duration?
    private var lastRegular: Duration?

    /// - Parameter interval: how often at least; nil: never.
    init(interval: Duration?, stallInterval: Duration) {
        self.interval = interval
        self.stallInterval = stallInterval
        stall = StallWatch(limit: stallInterval)
    }

    /// For how long the minimum has stood still.
    func standstill(now: Duration) -> Duration { stall.duration(now: now) }

    var isRunning: Bool { lookAt != nil }

    mutating func run(now: Duration) {
        guard interval != nil, lookAt == nil else { return }
        lookAt = now
        lastRegular = nil
    }

    mutating func stop() {
        lookAt = nil
        soonAt = nil
        isStopped = true
    }

    /// Something is to be asked for.
    mutating func soon(now: Duration) {
        guard interval != nil, soonAt == nil, !hasFailed, !isStopped else { return }
        soonAt = now + Self.moment
    }

    mutating func ended(succeeded: Bool) {
        hasFailed = !succeeded
        isUnderWay = false
    }

    /// Whether the moment has come for what was heard.
    mutating func takeSoon(now: Duration) -> Bool {
        guard let soonAt, soonAt <= now else { return false }
        self.soonAt = nil
        return true
    }

    /// Whether it looks at the minimum now, and whether the database is asked then.
    mutating func takeLook(minimum: StreamID, known: StreamID, now: Duration) -> (looks: Bool, asks: Bool) {
        guard let interval, let lookAt, lookAt <= now else { return (false, false) }
        self.lookAt = now + stallInterval / 2
        let isStalled = stall.isStalled(minimum: minimum, known: known, now: now)
        guard !isUnderWay, isStalled || lastRegular.map({ now - $0 >= interval }) ?? true else { return (true, false) }
        lastRegular = now
        isUnderWay = true
        return (true, true)
    }

    var nextDeadline: Duration? {
        earlier(soonAt, lookAt)
    }
}

/// When a writer writes its heartbeat: on a grid that all logs of a process share, so that a store can write them
/// together. One at a time.
struct HeartbeatSchedule: Sendable {
    private let interval: Duration?
    private(set) var nextAt: Duration?
    private(set) var isUnderWay = false

    /// - Parameter interval: nil: never.
    init(interval: Duration?) { self.interval = interval }

    mutating func run(now: Duration) { nextAt = nextAt ?? next(after: now) }

    mutating func stop() { nextAt = nil }

    private func next(after now: Duration) -> Duration? {
        interval.map { $0 * ((now / $0).rounded(.down) + 1) }
    }

    /// Whether one is to be written now; then ``ended()`` follows.
    mutating func takeDue(now: Duration) -> Bool {
        guard let nextAt, nextAt <= now else { return false }
        self.nextAt = next(after: now)
        if isUnderWay { return false }
        isUnderWay = true
        return true
    }

    mutating func ended() { isUnderWay = false }
}

/// The earlier of two times that may not come.
func earlier(_ one: Duration?, _ other: Duration?) -> Duration? {
    guard let one else { return other }
    guard let other else { return one }
    return min(one, other)
}
