import NIOCore

/// Whether the peer of a connection is still there, and when to tell it that we are.
///
/// A peer first has to say who it is, within a time that nothing but its name ends. Silence counts from its first `PING`
/// on: someone who types lines by hand is left alone. What counts is silence that we listened to: when this process
/// itself was stopped, or got no time, the peer's lines may all be there unread, so the window starts anew.
struct Liveness {
    enum Verdict: Equatable {
        case silent
        /// Look again at `at`; when `ping` is set, a `PING` is due now.
        case alive(ping: Bool, at: NIODeadline)
    }

    private enum Watch {
        /// The peer has to say who it is; the time is when this began.
        case greeting(since: NIODeadline)
        case nothing
        case silence(since: NIODeadline)
    }

    private let interval: TimeAmount
    private let limit: TimeAmount
    private let greetingLimit: TimeAmount
    private var watch: Watch
    private var nextPing: NIODeadline
    private var expectedLook: NIODeadline

    /// - Parameter greetingLimit: how long the peer may take to say who it is.
    init(interval: TimeAmount, limit: TimeAmount, greetingLimit: TimeAmount, now: NIODeadline) {
        self.interval = interval
        self.limit = limit
        self.greetingLimit = greetingLimit
        watch = .greeting(since: now)
        nextPing = now + interval
        expectedLook = now + min(interval, greetingLimit)
    }

    /// The peer has said who it is; from here on only a peer that pings is watched.
    mutating func greeted() { watch = .nothing }

    /// Before its name a peer's `PING` changes nothing.
    mutating func heardPing(at now: NIODeadline) {
        if case .greeting = watch { return }
        watch = .silence(since: now)
    }

    mutating func heard(at now: NIODeadline) {
        if case .silence = watch { watch = .silence(since: now) }
    }

    mutating func look(at now: NIODeadline) -> Verdict {
        let wasAway = now - expectedLook > interval
        if wasAway { beginAnew(at: now) }
        let end: NIODeadline? =
            switch watch {
            case .greeting(let since): since + greetingLimit
            case .nothing: nil
            case .silence(let since): since + limit
            }
        if let end, now >= end { return .silent }

        let ping = now >= nextPing
        if ping { nextPing = now + interval }
        expectedLook = end.map { min(nextPing, $0) } ?? nextPing
        return .alive(ping: ping, at: expectedLook)
    }

    private mutating func beginAnew(at now: NIODeadline) {
        switch watch {
        case .greeting: watch = .greeting(since: now)
        case .nothing: break
        case .silence: watch = .silence(since: now)
        }
    }
}
