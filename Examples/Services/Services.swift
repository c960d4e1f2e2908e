import Foundation
import Logging
import ServiceLifecycle
import Tidemark
import TidemarkReplication
import TidemarkSQLite
import UnixSignals

// service: begin
/// A background reader as a service: what it has begun to handle it finishes, and then it ends.
struct Mailer: Service {
    let log: EventLog

    func run() async throws {
        let mailer: DurableConsumer
        do {
            // One process at a time reads under a name. The others stand by, and shutdown has to end that too.
            mailer = try await cancelWhenGracefulShutdown { try await log.consumer("mailer", whenTaken: .standBy) }
        } catch is CancellationError {
            return
        }
        for try await batch in mailer.events.cancelOnGracefulShutdown() {
            for event in batch.events { print("a letter about", event.event.id) }
            try await mailer.checkpoint(batch)
        }
    }
}

func services(path: String, logger: Logger) async throws -> (EventLog, ServiceGroup) {
    let log = try await EventLog.open(
        SQLiteEventStore.open(path: path), stream: "orders", instance: "p1",
        transport: UnixSocketTransport(besideDatabase: path), logger: logger)
    // The log first: services are shut down from the last to the first, so that it leaves when nobody needs it any more.
    let group = ServiceGroup(
        services: [log, Mailer(log: log)], gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
    return (log, group)
}
// service: end

/// A program as it runs on a server, ended here as soon as its letter is sent.
@main
enum Services {
    static func main() async {
        do {
            try await run()
        } catch {
            // Thrown from here it would be a crash with a backtrace.
            FileHandle.standardError.write(Data("Services: \(error)\n".utf8))
            exit(1)
        }
    }

    static func run() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "tidemark-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let (log, group) = try await services(
            path: folder.appending(path: "events.db").path, logger: Logger(label: "service"))
        async let running: Void = group.run()
        let place = try await log.persist(Event(id: "order-1", type: "placed", key: "alice"))
        while try await log.store.status(of: log.stream)?.consumers.first.map({ $0.position < place }) ?? true {
            try await Task.sleep(for: .milliseconds(20))
        }
        await group.triggerGracefulShutdown()
        try await running
    }
}
