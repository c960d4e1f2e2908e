import NIOCore
import NIOPosix

@testable import TidemarkRedis

/// Other software: a connection that publishes whatever it is told to.
final class RawRedis: Sendable {
    private let channel: any Channel

    init(port: Int) async throws {
        channel = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .connect(host: "127.0.0.1", port: port).get()
    }

    deinit { channel.close(promise: nil) }

    func publish(_ line: String, on name: String) async throws {
        var buffer = ByteBuffer()
        buffer.write(.publish(RedisMessage(channel: name, line: Array(line.utf8))))
        try await channel.writeAndFlush(buffer)
    }
}

/// Something that is no Redis server, and says so to whoever connects.
final class OtherServer: Sendable {
    private let server: any Channel

    init(saying text: String) async throws {
        server = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .childChannelInitializer { channel in
                // Once it is connected.
                channel.eventLoop.execute { channel.writeAndFlush(ByteBuffer(string: text), promise: nil) }
                return channel.eventLoop.makeSucceededVoidFuture()
            }
            .bind(host: "127.0.0.1", port: 0).get()
    }

    deinit { server.close(promise: nil) }

    var port: Int { server.localAddress?.port ?? 0 }
}
