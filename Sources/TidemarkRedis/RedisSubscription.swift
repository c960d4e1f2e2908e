import DequeModule

/// The two connections once the subscription is confirmed: what was asked and not yet answered, what was published and
/// has not come back, and whether the server is still there.
struct RedisSubscription {
    typealias Action = RedisSession.Action
    typealias Role = RedisSession.Role

    /// What the publisher's next answer is to, in order: Redis answers the commands of a connection one by one.
    private enum Question {
        case ping
        case publication(number: Int, bytes: Int)
    }

    /// The channels that are listened to.
    private let channels: Set<String>
    private let url: RedisURL
    private let limit: Int
    private var questions: Deque<Question> = []
    private var echoes = EchoFilter()
    private var published = 0
    /// Of the lines that were published and are not answered yet.
    private var unanswered = 0
    /// Whether it was told already that the server takes no publications: one sentence a connection is enough.
    private var isRefusalTold = false
    var liveness: RedisLiveness

    init(channels: Set<String>, url: RedisURL, _ configuration: RedisConfiguration, at now: Duration) {
        self.channels = channels
        self.url = url
        limit = configuration.unsentLimit
        liveness = RedisLiveness(
            interval: configuration.pingInterval, limit: configuration.silenceLimit, at: now)
    }

    /// `["subscribe", channel, count]`
    static func isConfirmation(_ reply: RedisReply, of channel: String) -> Bool {
        guard case .array(let elements) = reply, elements.count == 3 else { return false }
        return elements[0].text == "subscribe" && elements[1].text == channel
    }

    /// `["message", channel, line]`
    static func message(_ reply: RedisReply) -> RedisMessage? {
        guard case .array(let elements) = reply, elements.count == 3, elements[0].text == "message",
            let channel = elements[1].text, case .bytes(let line) = elements[2]
        else { return nil }
        return RedisMessage(channel: channel, line: line)
    }

    mutating func ping() -> [Action] {
        questions.append(.ping)
        return [.write(.publisher, [.ping]), .write(.listener, [.ping])]
    }

    /// Publishes as much as may be on its way, and drops the rest.
    mutating func publish(_ messages: [RedisMessage]) -> [Action] {
        var commands: [RedisCommand] = []
        for message in messages {
            let bytes = message.line.count
            guard max(unanswered, echoes.bytes) + bytes <= limit else { break }
            published += 1
            unanswered += bytes
            questions.append(.publication(number: published, bytes: bytes))
            if channels.contains(message.channel) { echoes.published(message, as: published) }
            commands.append(.publish(message))
        }
        var actions: [Action] = commands.isEmpty ? [] : [.write(.publisher, commands)]
        if commands.count < messages.count { actions.append(.dropped(messages.count - commands.count)) }
        return actions
    }

    mutating func received(_ reply: RedisReply, from role: Role, at now: Duration) -> [Action] {
        liveness.heard(from: role, at: now)
        switch role {
        case .publisher: return answered(reply)
        case .listener: return heard(reply)
        }
    }

    private mutating func answered(_ reply: RedisReply) -> [Action] {
        switch (questions.popFirst(), reply) {
        case (.publication(_, let bytes), .integer):
            unanswered -= bytes
            return []
        case (.publication(let number, let bytes), .error(let answer)):
            unanswered -= bytes
            echoes.refused(number)
            if isRefusalTold { return [.dropped(1)] }
            isRefusalTold = true
            let shown = RedisAnswer.shown(answer, hiding: url.password)
            return [.dropped(1), .refused(.refused(server: url.server, step: .publication, answer: shown))]
        case (.ping, .status), (.ping, .error):
            // A server that is loading its data answers with an error, and is there.
            return []
        default:
            return [unexpected(reply)]
        }
    }

    private mutating func heard(_ reply: RedisReply) -> [Action] {
        if let message = Self.message(reply) { return echoes.isEcho(message) ? [] : [.deliver(message)] }
        switch reply {
        // To a ping: as an array from a server that knows that this connection listens.
        case .array(let elements) where elements.first?.text == "pong": return []
        case .status, .error: return []
        default: return [unexpected(reply)]
        }
    }

    private func unexpected(_ reply: RedisReply) -> Action {
        .failed(.notRedis(server: url.server, problem: "it sent \(reply.kind) unasked"), wasConnected: true)
    }
}
