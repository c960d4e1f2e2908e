/// Whether the server still answers on both connections, and when to ask it.
///
/// What counts is silence that we listened to: when this process itself was stopped, or got no time, the answers may all
/// be there unread, so the window starts anew.
struct RedisLiveness {
    enum Verdict: Hashable {
        case silent
        case alive(isPingDue: Bool)
    }

    private let interval: Duration
    private let limit: Duration
    private var lastHeard: [RedisSession.Role: Duration]
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

    mutating func look(at now: Duration) -> Verdict {
        if now - nextLook > interval { lastHeard = lastHeard.mapValues { _ in now } }
        let oldest = lastHeard.values.min() ?? now
        if now - oldest >= limit { return .silent }
        let isPingDue = now >= nextPing
        if isPingDue { nextPing = now + interval }
        nextLook = min(nextPing, oldest + limit)
        return .alive(isPingDue: isPingDue)
    }
}
