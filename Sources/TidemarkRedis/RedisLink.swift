import Logging
import NIOCore
import NIOPosix
import NIOSSL
import Tidemark

/// One participant's two connections: carries out what ``RedisSession`` decides.
///
/// Everything in it happens on one event loop.
final class RedisLink {
    private let url: RedisURL
    private let configuration: RedisConfiguration
    private let loop: any EventLoop
    /// Nil without TLS.
    private let tls: NIOSSLContext?
    private let logger: Logger
    private let sendBuffer: SendBuffer
    private let report: RedisReport
    private let encoding: MessageEncoding

    private var receive: (@Sendable (ReplicationEvent) -> Void)?
    private var session: RedisSession
    private var handlers: [RedisSession.Role: RedisChannelHandler] = [:]
    private var ownWriter: OwnWriter
    private var skipped = SkippedLines()
    private var timer: Scheduled<Void>?
    private var timerDeadline: Duration?
    /// Whether something waits in the send buffer until there is room.
    private var isDrainDue = false
    /// The last failure that was told: one that repeats with every attempt is told once.
    private var toldFailure: RedisError?

    init(
        url: RedisURL, configuration: RedisConfiguration, loop: any EventLoop, tls: NIOSSLContext?, logger: Logger,
        sendBuffer: SendBuffer, report: RedisReport, name: InstanceName,
        receive: @escaping @Sendable (ReplicationEvent) -> Void
    ) {
        self.url = url
        self.configuration = configuration
        self.loop = loop
        self.tls = tls
        self.logger = logger
        self.sendBuffer = sendBuffer
        self.report = report
        self.receive = receive
        session = RedisSession(url: url, configuration: configuration) { Double.random(in: 0..<1) }
        encoding = MessageEncoding(channels: session.channels, lineLimit: configuration.lineLimit)
        ownWriter = OwnWriter(name: name)
    }

    func start() { perform(session.start(at: Self.now)) }

    func caughtUp() { session.caughtUp() }

    func stop() {
        receive = nil
        timer?.cancel()
        perform(session.stop())
    }

    /// Publishes what the participant has sent since the last time, or lets it wait until there is room. What does not
    /// fit there is dropped in one place, the send buffer, which puts positions where rows were.
    func drain() {
        isDrainDue = !session.hasRoom
        if isDrainDue { return }
        var messages: [RedisMessage] = []
        for entry in sendBuffer.takeAll() {
            for command in entry.commands { ownWriter.sent(command) }
            let (encoded, leftOut) = encoding.messages(of: entry.commands)
            messages += encoded
            if leftOut > 0 {
                report.add(leftOut, to: \.leftOutCommands)
                logger.warning(
                    "commands left out: too long, or not for a broker", metadata: ["count": "\(leftOut)"])
            }
        }
        if !messages.isEmpty { perform(session.publish(messages, at: Self.now)) }
    }

    // MARK: What the session decides

    private func perform(_ actions: [RedisSession.Action]) {
        for action in actions { perform(action) }
        scheduleLook()
        if isDrainDue { drain() }
    }

    private func perform(_ action: RedisSession.Action) {
        switch action {
        case .open:
            for role in RedisSession.Role.allCases { open(role) }
        case .close:
            let closed = handlers
            handlers = [:]
            for handler in closed.values { handler.close() }
        case .write(let role, let commands):
            handlers[role]?.write(commands)
        case .connected:
            if toldFailure != nil { logger.notice("replication over Redis is back", metadata: ["server": "\(url)"]) }
            toldFailure = nil
            report.set(failure: nil)
            receive?(.connected)
        case .failed(let error, let wasConnected):
            failed(error, wasConnected: wasConnected)
        case .deliver(let message):
            deliver(message)
        case .refused(let error):
            report.set(failure: error)
            logger.warning("the Redis server refuses a part of what is asked", metadata: ["error": "\(error)"])
        case .dropped(let count):
            report.add(count, to: \.droppedCommands)
        }
    }

    private func failed(_ error: RedisError, wasConnected: Bool) {
        report.add(to: \.failures)
        report.set(failure: error)
        let isNew = toldFailure != error
        toldFailure = error
        if isNew { logger.warning("no replication over Redis", metadata: ["error": "\(error)"]) }
        if wasConnected || isNew { receive?(.disconnected(reason: error.description)) }
    }

    private func deliver(_ message: RedisMessage) {
        let command: ReplicationCommand
        do throws(InvalidReplicationCommand) {
            command = try ReplicationCommand.parse(message.line.span)
        } catch {
            if error != .blank { skip(skipped.sentence(for: error)) }
            return
        }
        guard session.channels.channel(for: command.kind) == message.channel else {
            return skip(skipped.sentence(forOutOfPlace: command.kind))
        }
        if !ownWriter.isOwn(command) { receive?(.command(command)) }
    }

    private func skip(_ sentence: String?) {
        report.add(to: \.skippedLines)
        if let sentence { logger.warning("a line is skipped", metadata: ["reason": "\(sentence.shown(atMost: 300))"]) }
    }

    // MARK: Connections and time

    private func open(_ role: RedisSession.Role) {
        let handler = RedisChannelHandler(
            role: role, owner: self, url: url, receiveLimit: configuration.receiveLimit)
        handlers[role] = handler
        let (host, tls) = (url.host, tls)
        // The handler is made and used on this loop alone, which is also that of the channel.
        let bound = NIOLoopBound(handler, eventLoop: loop)
        ClientBootstrap(group: loop)
            .connectTimeout(TimeAmount(configuration.setUpLimit))
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if let tls {
                        // A name is sent and checked; an address is checked against the certificate's addresses.
                        let isAddress = (try? SocketAddress(ipAddress: host, port: 0)) != nil
                        try channel.pipeline.syncOperations.addHandler(
                            NIOSSLClientHandler(context: tls, serverHostname: isAddress ? nil : host))
                    }
                    try channel.pipeline.syncOperations.addHandler(bound.value)
                }
            }
            .connect(host: host, port: url.port)
            .whenFailure { bound.value.notConnected($0) }
    }

    private func scheduleLook() {
        let deadline = session.nextLook
        // A later one is only noticed when the timer fires, which saves moving it with every reply.
        if let deadline, let timerDeadline, timerDeadline <= deadline { return }
        timer?.cancel()
        timerDeadline = deadline
        guard let deadline else { return }
        timer = loop.assumeIsolated().scheduleTask(in: TimeAmount(max(.zero, deadline - Self.now))) { [weak self] in
            guard let self else { return }
            self.timerDeadline = nil
            self.perform(self.session.look(at: Self.now))
        }
    }

    private static var now: Duration { .nanoseconds(Int64(NIODeadline.now().uptimeNanoseconds)) }
}

extension RedisLink: RedisChannelOwner {
    func channelIsOpen(_ handler: RedisChannelHandler) {
        guard handlers[handler.role] === handler else { return }
        perform(session.opened(handler.role, at: Self.now))
    }

    func channel(_ handler: RedisChannelHandler, received replies: [RedisReply]) {
        for reply in replies {
            // Any of them may end the connection.
            guard handlers[handler.role] === handler else { return }
            perform(session.received(reply, from: handler.role, at: Self.now))
        }
    }

    func channel(_ handler: RedisChannelHandler, failed error: RedisError) {
        guard handlers[handler.role] === handler else { return }
        perform(session.failed(error, at: Self.now))
    }
}
