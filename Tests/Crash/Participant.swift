import ArgumentParser
import Foundation
import Tidemark
import TidemarkPostgreSQL
import TidemarkReplication
import TidemarkSQLite

/// What every process that takes part is told: where the events are.
struct Participant: ParsableArguments {
    static let stream: StreamName = "events"

    @Option var folder: String
    @Option(help: "A PostgreSQL server, in the place of a file in the folder.") var server: String?

    var database: String { folder + "/events.db" }

    func open(
        as instance: InstanceName? = nil, transport: UnixSocketTransport? = nil,
        sqlite: SQLiteConfiguration = .init(), configuration: EventLogConfiguration = .init()
    ) async throws -> EventLog {
        if let server {
            var connections = try PostgresConfiguration(server)
            // A server that recovers may take longer than callers wait by default, where many build beside it.
            connections.waitLimit = .seconds(60)
            return try await EventLog.open(
                PostgreSQLEventStore.open(connections), stream: Self.stream, instance: instance,
                configuration: configuration)
        }
        return try await EventLog.open(
            SQLiteEventStore.open(path: database, configuration: sqlite), stream: Self.stream, instance: instance,
            transport: transport ?? UnixSocketTransport(besideDatabase: database), configuration: configuration)
    }
}

/// The other end of a process's pipes: the program that started it.
enum Starter {
    /// One line to standard output, in one piece.
    static func say(_ line: String) {
        FileHandle.standardOutput.write(Data((line + "\n").utf8))
    }

    /// The lines of standard input, until it ends: the starter has asked for an end, or is gone.
    static func lines() -> AsyncStream<String> {
        let (stream, continuation) = AsyncStream<String>.makeStream()
        Thread {
            while let line = readLine() { continuation.yield(line) }
            continuation.finish()
        }.start()
        return stream
    }

    static func ended() async {
        for await _ in lines() {}
    }
}

extension EventLog {
    /// Persists so many events, a thousand at a time.
    func persist(many count: Int, _ event: (Int) -> Event) async throws {
        for start in stride(from: 0, to: count, by: 1_000) {
            try await persist((start..<min(start + 1_000, count)).map(event))
        }
    }
}
