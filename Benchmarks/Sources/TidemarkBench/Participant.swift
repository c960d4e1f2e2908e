import ArgumentParser
import Foundation
import Tidemark
import TidemarkPostgreSQL
import TidemarkRedis
import TidemarkReplication
import TidemarkSQLite

/// What a writer's and a reader's process have in common.
struct Participant: ParsableArguments {
    @Option var database: String
    @Option var mode: Mode
    @Option var data: String
    @Option(help: "The URL of a channel, in mode redis.") var redis: String?

    func open(as instance: InstanceName?) async throws -> EventLog {
        let store: any EventStore =
            isOnServer
            ? try await PostgreSQLEventStore.opened(at: database) : try await SQLiteEventStore.open(path: database)
        return try await EventLog.open(
            store, instance: instance, transport: transport(store), configuration: mode.configuration)
    }

    private var isOnServer: Bool { database.hasPrefix("postgres://") || database.hasPrefix("postgresql://") }

    private func transport(_ store: any EventStore) throws -> (any ReplicationTransport)? {
        switch mode {
        case .none: nil
        case .off where isOnServer, .periodic where isOnServer, .default where isOnServer:
            store.ownTransport(for: "events")
        case .redis: try RedisTransport(redis ?? "")
        case .off, .periodic, .default: try UnixSocketTransport(besideDatabase: database)
        }
    }

    /// The commands on standard input, until it ends. Then the process does too: in order, or after five seconds in the
    /// middle of what it does. So it does not outlive a run that was killed.
    static var commands: AsyncStream<[String]> {
        let (stream, continuation) = AsyncStream<[String]>.makeStream()
        // Blocks until there is input, so it has a thread of its own.
        Thread {
            while let line = readLine() {
                continuation.yield(line.split(separator: " ").map(String.init))
            }
            continuation.finish()
            // Whoever started this one is gone or has asked for an end, which takes less, unless something hangs.
            Thread.sleep(forTimeInterval: 5)
            Foundation.exit(0)
        }.start()
        return stream
    }

    /// Ends the process with a line on standard error, so that the run fails with it.
    static func fail(_ error: any Error) -> Never {
        FileHandle.standardError.write(Data("tidemark-bench: \(error)\n".utf8))
        Foundation.exit(70)
    }

    static func say(_ lines: some Sequence<String>) {
        var text = ""
        for line in lines { text += line + "\n" }
        FileHandle.standardOutput.write(Data(text.utf8))
    }
}
