import NIOCore

/// Whether the peer of a connection is still there, and when to tell it that we are.
///
/// Silence counts from a peer's first `PING` on: someone who types lines by hand is left alone. A client also limits
/// how long the server's first line takes. What counts is silence that we listened to: when this process itself was
/// stopped, or got no time, the peer's lines may all be there unread, so the window starts anew.
struct Liveness {
    enum Verdict: Equatable {
        case silent
        /// Look again at `at`; when `ping` is set, a `PING` is due now.
        case alive(ping: Bool, at: NIODeadline)
    }

    private let interval: TimeAmount
    private let limit: TimeAmount
    /// When something was heard last; `nil` while silence is no fault.
    private var lastHeard: NIODeadline?
    private var nextPing: NIODeadline
    private var expectedLook: NIODeadline

    /// - Parameter greetingExpected: whether the peer has to speak first, as a server does.
    init(interval: TimeAmount, limit: TimeAmount, greetingExpected: Bool, now: NIODeadline) {
        self.interval = interval
        self.limit = limit
        lastHeard = greetingExpected ? now : nil
        nextPing = now + interval
        expectedLook = now + min(interval, limit)
    }

    /// The peer has said who it is; from here on only a peer that pings is watched.
    mutating func greeted() { lastHeard = nil }

    mutating func heardPing(at now: NIODeadline) { lastHeard = now }

    mutating func heard(at now: NIODeadline) {
        if lastHeard != nil { lastHeard = now }
    }

    mutating func look(at now: NIODeadline) -> Verdict {
        let wasAway = now - expectedLook > interval
        if wasAway, lastHeard != nil { lastHeard = now }
        if let lastHeard, now - lastHeard >= limit { return .silent }

        let ping = now >= nextPing
        if ping { nextPing = now + interval }
        expectedLook = lastHeard.map { min(nextPing, $0 + limit) } ?? nextPing
        return .alive(ping: ping, at: expectedLook)
    }
}
