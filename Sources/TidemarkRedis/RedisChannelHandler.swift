import NIOCore
import NIOPosix
import NIOSSL
import NIOTLS

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// What a connection to a Redis server tells the link that it is part of. All calls are made on the event loop.
protocol RedisChannelOwner: AnyObject {
    func channelIsOpen(_ handler: RedisChannelHandler)
    func channel(_ handler: RedisChannelHandler, received replies: [RedisReply])
    /// Nothing more comes; told once.
    func channel(_ handler: RedisChannelHandler, failed error: RedisError)
}

/// One connection to a Redis server: bytes in, replies out.
final class RedisChannelHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    let role: RedisSession.Role
    private weak var owner: (any RedisChannelOwner)?
    private let url: RedisURL
    private let reader: RedisReplyReader
    private var context: ChannelHandlerContext?
    private var isOpen = false
    private var isOver = false

    init(role: RedisSession.Role, owner: any RedisChannelOwner, url: RedisURL, receiveLimit: Int) {
        self.role = role
        self.owner = owner
        self.url = url
        reader = RedisReplyReader(limit: receiveLimit)
    }

    /// The handler may be added before or after its channel is connected.
    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if isOver { context.close(promise: nil) }
    }

    /// The context and this handler hold each other until here.
    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelActive(context: ChannelHandlerContext) {
        if !url.usesTLS { opened() }
        context.fireChannelActive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted? = event as? TLSUserEvent { opened() }
        context.fireUserInboundEventTriggered(event)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if isOver { return }
        var replies: [RedisReply] = []
        let failure: RedisError?
        do throws(RedisReplyReader.Failure) {
            try reader.read(unwrapInboundIn(data)) { replies.append($0) }
            failure = nil
        } catch {
            failure = RedisError(error, server: url.server)
        }
        // Not from inside the reader: what is done about a reply may close the connection.
        if !replies.isEmpty { owner?.channel(self, received: replies) }
        if let failure { failed(failure) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if error is NIOSSLError || error is BoringSSLError, !isOpen {
            failed(.tlsFailed(server: url.server, problem: "\(error)"))
        } else {
            failed(.lost(server: url.server, problem: Self.sentence(for: error)))
        }
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        failed(.lost(server: url.server, problem: "the server closed it"))
        context.fireChannelInactive()
    }

    /// The connection could not be made.
    func notConnected(_ error: any Error) {
        failed(.unreachable(server: url.server, problem: Self.sentence(for: error)))
    }

    /// Sends the commands together.
    func write(_ commands: [RedisCommand]) {
        guard let context, !isOver else { return }
        var buffer = context.channel.allocator.buffer(capacity: 256)
        for command in commands { buffer.write(command) }
        context.writeAndFlush(wrapOutboundOut(buffer), promise: nil)
    }

    /// Ends the connection; nothing is told of it from now on.
    func close() {
        isOver = true
        context?.close(promise: nil)
    }

    private func opened() {
        if isOver || isOpen { return }
        isOpen = true
        owner?.channelIsOpen(self)
    }

    private func failed(_ error: RedisError) {
        if isOver { return }
        isOver = true
        owner?.channel(self, failed: error)
    }

    /// Says in words of the system what NIO says with much around it.
    private static func sentence(for error: any Error) -> String {
        switch error {
        case let error as NIOConnectionError:
            if let first = error.connectionErrors.first { return sentence(for: first.error) }
            return "the name \(error.host) has no address"
        case let error as IOError:
            return String(cString: strerror(error.errnoCode))
        case ChannelError.connectTimeout:
            return "it does not answer"
        default:
            return "\(error)"
        }
    }
}

extension RedisError {
    init(_ failure: RedisReplyReader.Failure, server: String) {
        switch failure {
        case .notRedis(let problem): self = .notRedis(server: server, problem: problem)
        case .tooLong(let limit): self = .replyTooLong(server: server, limit: limit)
        }
    }
}
