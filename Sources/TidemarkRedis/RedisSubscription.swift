import DequeModule

/// The two connections once the subscription is confirmed: what was asked and not yet answered, what was published and
/// has not come back, and whether the server is still there.
struct RedisSubscription {
    typealias Action = RedisSession.Action
    typealias Role = RedisSession.Role

    /// What the publisher's next answer is to, in order: Redis answers the commands of a connection one by one.
    private enum Question {
        case ping
        case publication(number: Int, bytes: Int, isMain: Bool)
    }

    /// The channels that are listened to.
    private let channels: Set<String>
    private let url: RedisURL
    private let limit: Int
    private var questions: Deque<Question> = []
    private var echoes = EchoFilter()
    private var published = 0
    /// How many bytes the lines have that were published and are not answered yet.
    private var unanswered = 0
    /// Whether it was told already that the server takes no publications: one sentence a connection is enough.
    private var isRefusalTold = false
    /// Whether the server has refused a line of the main channel, so that nobody knows what was in it.
    private var hasRefusedLines = false
    /// Whether what is published is heard, or cannot be published at all.
    private(set) var isUp = false
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

    /// Whether more may be on its way.
    var hasRoom: Bool { max(unanswered, echoes.bytes) < limit }

    /// Where there is no ``hasRoom`` it has to wait: what is on its way has a bound.
    mutating func publish(_ messages: [RedisMessage], at now: Duration) -> [Action] {
        var commands: [RedisCommand] = []
        for message in messages {
            let bytes = message.line.count
            published += 1
            unanswered += bytes
            questions.append(
                .publication(number: published, bytes: bytes, isMain: message.channel == url.channel))
            if channels.contains(message.channel) { echoes.published(message, as: published) }
            commands.append(.publish(message))
        }
        liveness.echoIsAwaited(!echoes.isEmpty, at: now)
        return commands.isEmpty ? [] : [.write(.publisher, commands)]
    }

    mutating func received(_ reply: RedisReply, from role: Role, at now: Duration) -> [Action] {
        liveness.heard(from: role, at: now)
        switch role {
        case .publisher: return answered(reply, at: now)
        case .listener: return heard(reply, at: now)
        }
    }

    private mutating func answered(_ reply: RedisReply, at now: Duration) -> [Action] {
        switch (questions.popFirst(), reply) {
        case (.publication(_, let bytes, let isMain), .integer):
            unanswered -= bytes
            // Rows may be among what it refused before, and only a new connection has everyone look for them.
            if isMain, hasRefusedLines {
                let problem = "it had refused lines, and takes them again"
                return [.failed(.lost(server: url.server, problem: problem), wasConnected: true)]
            }
            return []
        case (.publication(let number, let bytes, let isMain), .error(let answer)):
            unanswered -= bytes
            echoes.refused(number)
            liveness.echoIsAwaited(!echoes.isEmpty, at: now)
            if isMain { hasRefusedLines = true }
            return comeUp() + refused(answer)
        case (.ping, .status), (.ping, .error):
            // A server that is loading its data answers with an error, and is there.
            return []
        default:
            return [unexpected(reply)]
        }
    }

    private mutating func refused(_ answer: String) -> [Action] {
        if isRefusalTold { return [.dropped(1)] }
        isRefusalTold = true
        let shown = RedisAnswer.shown(answer, hiding: url.password)
        return [.dropped(1), .refused(.refused(server: url.server, step: .publication, answer: shown))]
    }

    private mutating func comeUp() -> [Action] {
        defer { isUp = true }
        return isUp ? [] : [.connected]
    }

    private mutating func heard(_ reply: RedisReply, at now: Duration) -> [Action] {
        if let message = Self.message(reply) {
            if echoes.isEcho(message) {
                liveness.cameBack(isMoreAwaited: !echoes.isEmpty, at: now)
                return comeUp()
            }
            // What is said before the connection is up is for nobody: everyone is asked when it is.
            return isUp ? [.deliver(message)] : []
        }
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
