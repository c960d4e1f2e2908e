/// Whether the server still answers on both connections, and when to ask it; and whether what is published on the one is
/// heard on the other, which it is not where they reach different servers.
///
/// What counts is silence that we listened to: when this process itself was stopped, or got no time, the answers may all
/// be there unread, so the window starts anew.
struct RedisLiveness {
    enum Verdict: Hashable {
        case silent
        /// What was published does not come back.
        case deaf
        case alive(isPingDue: Bool)
    }

    private let interval: Duration
    private let limit: Duration
    private var lastHeard: [RedisSession.Role: Duration]
    /// Since when a line should have come back, or the last one did; nil while none is on its way.
    private var echoAwaitedSince: Duration?
    private var nextPing: Duration
    private(set) var nextLook: Duration

    init(interval: Duration, limit: Duration, at now: Duration) {
        self.interval = interval
        self.limit = limit
        lastHeard = [.publisher: now, .listener: now]
        nextPing = now + interval
        nextLook = min(nextPing, now + limit)
    }

    mutating func heard(from role: RedisSession.Role, at now: Duration) { lastHeard[role] = now }

    /// Whether any line of ours is on its way, after one was published or refused.
    mutating func echoIsAwaited(_ isAwaited: Bool, at now: Duration) {
        echoAwaitedSince = isAwaited ? echoAwaitedSince ?? now : nil
    }

    mutating func cameBack(isMoreAwaited: Bool, at now: Duration) { echoAwaitedSince = isMoreAwaited ? now : nil }

    mutating func look(at now: Duration) -> Verdict {
        if now - nextLook > interval {
            lastHeard = lastHeard.mapValues { _ in now }
            if echoAwaitedSince != nil { echoAwaitedSince = now }
        }
        let oldest = lastHeard.values.min() ?? now
        if now - oldest >= limit { return .silent }
        if let echoAwaitedSince, now - echoAwaitedSince >= limit { return .deaf }
        let isPingDue = now >= nextPing
        if isPingDue { nextPing = now + interval }
        nextLook = min(nextPing, oldest + limit)
        return .alive(isPingDue: isPingDue)
    }
}
