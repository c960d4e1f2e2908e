import Logging
import TestSupport
import Tidemark
import TidemarkRedis
import TidemarkTesting

typealias RedisInstance = LinkedInstance<RedisTransport>

extension LinkedInstance where Transport == RedisTransport {
    /// Returns when it is subscribed.
    convenience init(
        _ name: InstanceName, at server: RedisServerProcess, channel: String = "c",
        configuration: RedisConfiguration = RedisConfiguration()
    ) async throws {
        let url = "redis://127.0.0.1:\(server.port)/\(channel)"
        try await self.init(name, on: .quiet(url, configuration))
        try await waitUntilConnected()
    }
}

extension RedisTransport {
    /// One whose warnings, which tests bring about on purpose, do not fill the output.
    static func quiet(
        _ url: String, _ configuration: RedisConfiguration = RedisConfiguration()
    ) throws -> RedisTransport {
        try RedisTransport(
            url, configuration: configuration, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }
}

func position(_ writer: String, _ position: StreamID) throws -> ReplicationCommand {
    .position(
        ReplicationPosition(
            stream: "events", writer: try Writer(parsing: writer), previous: position, new: position))
}

func task(_ text: String) throws -> ReplicationCommand { .newActiveTask(try SimpleText(validating: text)) }
