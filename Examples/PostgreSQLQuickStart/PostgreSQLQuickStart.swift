import Foundation
import Tidemark
import TidemarkPostgreSQL

@main
enum PostgreSQLQuickStart {
    static func main() async {
        do {
            try await run()
        } catch {
            // Thrown from here it would be a crash with a backtrace.
            FileHandle.standardError.write(Data("PostgreSQLQuickStart: \(error)\n".utf8))
            exit(1)
        }
    }

    static func run() async throws {
        guard CommandLine.arguments.count == 2 else {
            FileHandle.standardError.write(Data("usage: PostgreSQLQuickStart postgres://user@host/database\n".utf8))
            exit(64)
        }
        let address = CommandLine.arguments[1]

        // quick start: begin
        // A writer, on any machine that reaches the server: makes its tables, in a namespace of their own, where they are
        // missing. With nothing else named the writers and readers hear each other by LISTEN and NOTIFY.
        let store = try await PostgreSQLEventStore.open(PostgresConfiguration(address))
        let log = try await EventLog.open(store, stream: "orders", instance: "p1")
        let service = Task { try await log.run() }  // or in a ServiceGroup

        // From here on all is as it is on a file.
        let place = try await log.persist(
            Event(id: "order-1", type: "placed", key: "alice", payload: Array("two tea pots".utf8)))
        try await log.withNextID { id in
            try await log.persist(Event(id: "order-2", type: "placed", key: "bob"), as: id)
        }

        let mailer = try await log.consumer("mailer")
        for try await batch in mailer.events {
            for event in batch.events {
                print(event.streamID, event.instance, event.event.id)
            }
            try await mailer.checkpoint(batch)
            if batch.through.rawValue >= place.rawValue + 1 { break }
        }

        service.cancel()  // persists what was handed in, and leaves
        try await service.value
        await store.close()
        // quick start: end
    }
}
