import DequeModule
import TidemarkCore
import TidemarkWire

/// The two connections to a Redis server that together carry the commands of one participant, as a state machine: it is
/// told what happened, and answers with what is to be done.
///
/// A connection that has subscribed can do nothing else (RESP2), so there is one to publish and one to listen. Both
/// connect and log in; the listener subscribes only when both have, and `REPLICATE` is published only when the
/// subscription is confirmed: from then on nothing that is said is missed, and everything that is published comes back
/// (``EchoFilter``). The link is up once `REPLICATE` has come back; where a proxy or a failover has the two connections
/// reach different servers, it never does, and nobody is told that he hears. (A user who may only listen hears nothing
/// come back, and is up with the refusal.) When one of the two fails both are closed, and after a while both begin anew.
///
/// The delays grow until the participant has caught up, and not only until a connection is there: a server that takes
/// connections and then drops them is not called in a tight loop.
struct RedisSession {
    enum Role: Hashable, Sendable, CaseIterable {
        case publisher
        case listener
    }

    enum Action: Hashable, Sendable {
        /// Open a connection for each role.
        case open
        /// Close both, and forget what they say from now on.
        case close
        /// At once, as one write.
        case write(Role, [RedisCommand])
        case connected
        case failed(RedisError, wasConnected: Bool)
        /// Somebody else published this.
        case deliver(RedisMessage)
        /// The server goes on without what was asked for.
        case refused(RedisError)
        /// So many lines were not published: the server takes them too slowly, or there is no connection.
        case dropped(Int)
    }

    enum State {
        case idle
        /// Until the next attempt.
        case waiting(until: Duration)
        case settingUp(SetUp)
        case subscribed(RedisSubscription)
        case stopped
    }

    struct SetUp {
        enum Step: Hashable {
            case connecting
            case authenticating
            case ready
            case subscribing
        }

        let deadline: Duration
        var steps: [Role: Step] = [.publisher: .connecting, .listener: .connecting]
        /// What the listener has asked for and was not told of yet. The main channel is the last of them, so that nothing
        /// is said on it before the set-up is done.
        var unconfirmed: [String] = []
        var confirmed: Set<String> = []
    }

    let url: RedisURL
    let configuration: RedisConfiguration
    let channels: RedisChannels
    private(set) var state = State.idle
    private var delays: Backoff
    private var refusalDelays: Backoff
    /// Uniform in 0..<1.
    private let random: @Sendable () -> Double

    init(url: RedisURL, configuration: RedisConfiguration, random: @escaping @Sendable () -> Double) {
        self.url = url
        self.configuration = configuration
        self.random = random
        channels = RedisChannels(url.channel, hearsUserIP: configuration.hearsUserIP)
        delays = Backoff(shortest: configuration.shortestDelay, longest: configuration.longestDelay)
        refusalDelays = Backoff(shortest: configuration.longestDelay, longest: configuration.longestRefusalDelay)
    }

    /// When ``look(at:)`` is to be called; it does no harm at other times.
    var nextLook: Duration? {
        switch state {
        case .idle, .stopped: nil
        case .waiting(let until): until
        case .settingUp(let setUp): setUp.deadline
        case .subscribed(let subscription): subscription.liveness.nextLook
        }
    }

    mutating func start(at now: Duration) -> [Action] {
        guard case .idle = state else { return [] }
        return connect(at: now)
    }

    private mutating func connect(at now: Duration) -> [Action] {
        state = .settingUp(SetUp(deadline: now + configuration.setUpLimit))
        return [.open]
    }

    mutating func opened(_ role: Role, at now: Duration) -> [Action] {
        guard case .settingUp(var setUp) = state, setUp.steps[role] == .connecting else { return [] }
        if let password = url.password {
            setUp.steps[role] = .authenticating
            state = .settingUp(setUp)
            return [.write(role, [.auth(user: url.user, password: password)])]
        }
        setUp.steps[role] = .ready
        return subscribe(setUp)
    }

    mutating func received(_ reply: RedisReply, from role: Role, at now: Duration) -> [Action] {
        switch state {
        case .idle, .waiting, .stopped:
            return []
        case .settingUp(let setUp):
            return received(reply, from: role, during: setUp, at: now)
        case .subscribed(var subscription):
            // Not held twice while it is changed: its queues would be copied.
            state = .idle
            let actions = subscription.received(reply, from: role, at: now)
            state = .subscribed(subscription)
            return failing(actions, at: now)
        }
    }

    mutating func look(at now: Duration) -> [Action] {
        switch state {
        case .idle, .stopped:
            return []
        case .waiting(let until):
            return now >= until ? connect(at: now) : []
        case .settingUp(let setUp):
            if now < setUp.deadline { return [] }
            return failed(.setUpTimedOut(server: url.server, limit: configuration.setUpLimit), at: now)
        case .subscribed(var subscription):
            switch subscription.liveness.look(at: now) {
            case .silent:
                return failed(.silent(server: url.server, limit: configuration.silenceLimit), at: now)
            case .deaf:
                return failed(.deaf(server: url.server, limit: configuration.silenceLimit), at: now)
            case .alive(let isPingDue):
                let actions = isPingDue ? subscription.ping() : []
                state = .subscribed(subscription)
                return actions
            }
        }
    }

    /// Whether something may be published, or be dropped for want of a connection; otherwise it has to wait.
    var hasRoom: Bool {
        if case .subscribed(let subscription) = state { subscription.hasRoom } else { true }
    }

    /// Publishes, where the link is up.
    mutating func publish(_ messages: [RedisMessage], at now: Duration) -> [Action] {
        guard case .subscribed(var subscription) = state, subscription.isUp else { return [.dropped(messages.count)] }
        state = .idle
        let actions = subscription.publish(messages, at: now)
        state = .subscribed(subscription)
        return actions
    }

    mutating func caughtUp() {
        guard case .subscribed(let subscription) = state, subscription.isUp else { return }
        delays.reset()
        refusalDelays.reset()
    }

    /// One of the connections could not be made, or ended.
    mutating func failed(_ error: RedisError, at now: Duration) -> [Action] {
        let wasConnected: Bool
        switch state {
        case .idle, .waiting, .stopped: return []
        case .settingUp: wasConnected = false
        case .subscribed(let subscription): wasConnected = subscription.isUp
        }
        let delay =
            error.needsSomebody ? refusalDelays.nextDelay(random: random()) : delays.nextDelay(random: random())
        state = .waiting(until: now + delay)
        return [.close, .failed(error, wasConnected: wasConnected)]
    }

    mutating func stop() -> [Action] {
        state = .stopped
        return [.close]
    }

    // MARK: Setting up

    private mutating func received(
        _ reply: RedisReply, from role: Role, during setUp: SetUp, at now: Duration
    ) -> [Action] {
        switch setUp.steps[role] {
        case .authenticating:
            var setUp = setUp
            switch reply {
            case .status:
                setUp.steps[role] = .ready
                return subscribe(setUp)
            case .error(let answer):
                return refused(.authentication, answer, at: now)
            default:
                return unexpected(reply, at: now)
            }
        case .subscribing:
            return confirmed(reply, during: setUp, at: now)
        case .connecting, .ready, nil:
            // Some errors come unasked, such as one about too many clients.
            if case .error(let answer) = reply { return refused(.subscription, answer, at: now) }
            return unexpected(reply, at: now)
        }
    }

    private mutating func subscribe(_ setUp: SetUp) -> [Action] {
        var setUp = setUp
        defer { state = .settingUp(setUp) }
        guard setUp.steps.values.allSatisfy({ $0 == .ready }) else { return [] }
        setUp.steps[.listener] = .subscribing
        setUp.unconfirmed = channels.heard
        return [.write(.listener, setUp.unconfirmed.map { .subscribe($0) })]
    }

    private mutating func confirmed(_ reply: RedisReply, during setUp: SetUp, at now: Duration) -> [Action] {
        var setUp = setUp
        var actions: [Action] = []
        guard let channel = setUp.unconfirmed.first else { return unexpected(reply, at: now) }
        if RedisSubscription.message(reply) != nil { return [] }
        if case .error(let answer) = reply {
            if channel == channels.main { return refused(.subscription, answer, at: now) }
            actions = [.refused(.refused(server: url.server, step: .subscription, answer: shown(answer)))]
        } else {
            guard RedisSubscription.isConfirmation(reply, of: channel) else { return unexpected(reply, at: now) }
            setUp.confirmed.insert(channel)
        }
        setUp.unconfirmed.removeFirst()
        if setUp.unconfirmed.isEmpty { return actions + subscribed(to: setUp.confirmed, at: now) }
        state = .settingUp(setUp)
        return actions
    }

    private mutating func subscribed(to channels: Set<String>, at now: Duration) -> [Action] {
        var subscription = RedisSubscription(channels: channels, url: url, configuration, at: now)
        let replicate = RedisMessage(
            channel: self.channels.main, line: Array(ReplicationCommand.replicate.line.utf8))
        let actions = subscription.publish([replicate], at: now)
        state = .subscribed(subscription)
        return actions
    }

    private mutating func refused(_ step: RedisError.Step, _ answer: String, at now: Duration) -> [Action] {
        failed(.refused(server: url.server, step: step, answer: shown(answer)), at: now)
    }

    private mutating func unexpected(_ reply: RedisReply, at now: Duration) -> [Action] {
        failed(.notRedis(server: url.server, problem: "it sent \(reply.kind) unasked"), at: now)
    }

    /// An error of a subscription ends it.
    private mutating func failing(_ actions: [Action], at now: Duration) -> [Action] {
        for action in actions {
            if case .failed(let error, _) = action { return failed(error, at: now) }
        }
        return actions
    }

    private func shown(_ answer: String) -> String { RedisAnswer.shown(answer, hiding: url.password) }
}
