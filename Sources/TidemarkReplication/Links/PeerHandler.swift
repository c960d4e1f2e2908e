import NIOCore
import TidemarkCore
import TidemarkWire

/// What a connection to another process tells the node that it is part of. All calls are made on the event loop.
protocol PeerOwner: AnyObject {
    /// The peer has said who it is.
    func peerIsGreeted(_ peer: PeerHandler)
    /// `line` is the command as it came, without its newline.
    func peer(_ peer: PeerHandler, sent command: ReplicationCommand, as line: ByteBuffer)
    /// All lines that came together were told.
    func peerPaused(_ peer: PeerHandler)
    func peer(_ peer: PeerHandler, sentSkipped line: ByteBuffer, because reason: String)
    func peer(_ peer: PeerHandler, complains text: String)
    func peerIsTooSlow(_ peer: PeerHandler)
    /// Nothing more comes of this peer.
    func peerIsGone(_ peer: PeerHandler, because problem: SocketProblem)
}

/// One connection to another process, on either side.
final class PeerHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private weak var owner: (any PeerOwner)?
    private let configuration: SocketConfiguration
    private let introduction: [ReplicationCommand]
    private var framing: LineFraming
    private var session: PeerSession
    private var liveness: Liveness?
    private var timer: Scheduled<Void>?
    private var context: ChannelHandlerContext?
    private var isLeaving = false
    private var isGone = false

    /// What the peer calls itself, for logs.
    private(set) var name: String
    var isGreeted: Bool { session.isGreeted }
    /// Whether the log says already that lines of this peer are skipped.
    var hasSentSkippedLines = false
    /// Whether the log has an error that this peer reported.
    var hasReportedErrors = false

    /// - Parameter introduction: what is sent first: to a server at once, to a client when it has said who it is.
    init(
        owner: any PeerOwner, side: PeerSession.Side, introduction: [ReplicationCommand],
        configuration: SocketConfiguration
    ) {
        self.owner = owner
        self.introduction = introduction
        self.configuration = configuration
        framing = LineFraming(limit: configuration.lineLimit)
        session = PeerSession(side: side)
        name = side == .client ? "a client without a name" : "the server"
    }

    func channelActive(context: ChannelHandlerContext) {
        self.context = context
        if isGone { return context.close(promise: nil) }
        var liveness = Liveness(
            interval: TimeAmount(configuration.pingInterval), limit: TimeAmount(configuration.silenceLimit),
            greetingLimit: TimeAmount(isClient ? configuration.greetingLimit : configuration.silenceLimit), now: .now())
        if !isClient { send(introduction + [Self.ping()]) }
        look(&liveness)
        self.liveness = liveness
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if isLeaving { return }
        liveness?.heard(at: .now())
        framing.append(unwrapInboundIn(data))
        do {
            while !isLeaving, let line = try framing.next() { take(line) }
        } catch {
            leave(because: .lineTooLong(limit: error.limit))
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        owner?.peerPaused(self)
    }

    func channelInactive(context: ChannelHandlerContext) {
        gone(because: .closed(peer: name))
    }

    /// The context and this handler hold each other until here.
    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        failed(error)
        context.close(promise: nil)
    }

    /// The connection was lost, or could not be set up.
    func failed(_ error: any Error) {
        gone(because: .failed(peer: name, problem: "\(error)".shown(atMost: 300)))
    }

    /// Sends lines at once. A peer that leaves too much unread is disconnected.
    func send(_ lines: ByteBuffer) {
        guard let context, !isLeaving, lines.readableBytes > 0 else { return }
        context.writeAndFlush(wrapOutboundOut(lines), promise: nil)
        if context.channel.isWritable { return }
        let unsent = try? context.channel.syncOptions?.getOption(.bufferedWritableBytes)
        if let unsent, unsent > configuration.unsentLimit {
            owner?.peerIsTooSlow(self)
            leave(because: .tooSlow(peer: name, unsentBytes: unsent))
        }
    }

    private var isClient: Bool { session.side == .client }

    /// Ends the connection, after telling the peer why if it still listens.
    func leave(because problem: SocketProblem) {
        guard let context, !isLeaving else { return }
        // Before the channel is closed, which would be taken for the reason.
        gone(because: problem)
        guard let text = try? SimpleText(validating: "\(problem)") else { return context.close(promise: nil) }
        var line = context.channel.allocator.buffer(capacity: 128)
        line.writeString(ReplicationCommand.error(text).line + "\n")
        let channel = context.channel
        context.writeAndFlush(wrapOutboundOut(line)).whenComplete { _ in channel.close(promise: nil) }
        // The reason waits behind what the peer has not read; it may never read that.
        channel.eventLoop.scheduleTask(in: TimeAmount(configuration.silenceLimit)) { channel.close(promise: nil) }
    }

    /// Ends the connection without a word to the peer, which may not be able to take one.
    func drop(because problem: SocketProblem) {
        gone(because: problem)
        context?.close(promise: nil)
    }

    /// Ends the connection without a word to anybody.
    func close() {
        isGone = true
        isLeaving = true
        timer?.cancel()
        context?.close(promise: nil)
    }

    private func take(_ line: ByteBuffer) {
        do {
            guard let command = try ReplicationCommand(line: line) else {
                if case .refuse(let problem) = session.meaningOfUnreadableLine { leave(because: problem) }
                return
            }
            take(command, line)
        } catch {
            guard case .refuse(let problem) = session.meaningOfUnreadableLine else {
                owner?.peer(self, sentSkipped: line, because: "\(error)")
                return
            }
            leave(because: problem)
        }
    }

    private func take(_ command: ReplicationCommand, _ line: ByteBuffer) {
        switch session.meaning(of: command) {
        case .greeted:
            liveness?.greeted()
            if let name = session.clientName { call(name) }
            // A client takes the server's name for the word that it hears everything from here on.
            if isClient { send(introduction + [Self.ping()]) }
            owner?.peerIsGreeted(self)
        case .ping:
            liveness?.heardPing(at: .now())
        case .command:
            owner?.peer(self, sent: command, as: line)
        case .complaint(let text):
            owner?.peer(self, complains: text)
        case .named(let name):
            call(name)
        case .outOfPlace:
            owner?.peer(self, sentSkipped: line, because: "it is not for this side to say")
        case .refuse(let problem):
            leave(because: problem)
        }
    }

    /// A peer may call itself anything: what is shown is short, and does nothing to a terminal.
    private func call(_ name: String) { self.name = name.shown(atMost: 64) }

    private func look(_ liveness: inout Liveness) {
        guard let context, !isLeaving else { return }
        let now = NIODeadline.now()
        switch liveness.look(at: now) {
        case .silent:
            let limit = isClient && !isGreeted ? configuration.greetingLimit : configuration.silenceLimit
            drop(because: .silent(peer: name, limit: limit))
        case .alive(let ping, let next):
            if ping, isGreeted || !isClient { send([Self.ping()]) }
            timer = context.eventLoop.assumeIsolated().scheduleTask(deadline: next) { [weak self] in
                guard let self, var liveness = self.liveness else { return }
                self.look(&liveness)
                self.liveness = liveness
            }
        }
    }

    private func send(_ commands: [ReplicationCommand]) {
        guard let context else { return }
        var lines = context.channel.allocator.buffer(capacity: 128)
        _ = LineEncoding(limit: configuration.lineLimit).append(commands, to: &lines)
        send(lines)
    }

    private func gone(because problem: SocketProblem) {
        isLeaving = true
        timer?.cancel()
        if isGone { return }
        isGone = true
        owner?.peerIsGone(self, because: problem)
    }

    private static func ping() -> ReplicationCommand {
        .ping(.number(NIODeadline.now().uptimeNanoseconds / 1_000_000))
    }
}

extension ReplicationCommand {
    /// Reads a line as it came; `nil` for a blank one.
    ///
    /// - Throws: ``InvalidReplicationCommand``.
    init?(line: ByteBuffer) throws(InvalidReplicationCommand) {
        do {
            self = try Self.parse(line.readableBytesUInt8Span)
        } catch .blank {
            return nil
        }
    }
}
