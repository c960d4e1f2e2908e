import Foundation
import Tidemark
import TidemarkReplication
import TidemarkSQLite

@main
enum QuickStart {
    static func main() async {
        do {
            try await run()
        } catch {
            // Thrown from here it would be a crash with a backtrace.
            FileHandle.standardError.write(Data("QuickStart: \(error)\n".utf8))
            exit(1)
        }
    }

    static func run() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "tidemark-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appending(path: "events.db").path

        // quick start: begin
        // A writer: joins the stream under a name of its own. Any number of processes can, on one file.
        let store = try await SQLiteEventStore.open(path: path)
        let log = try await EventLog.open(
            store, stream: "orders", instance: "p1", transport: UnixSocketTransport(besideDatabase: path))
        let service = Task { try await log.run() }  // or in a ServiceGroup

        // Durable when it returns. The same id again writes nothing and returns the same place in the stream.
        let place = try await log.persist(
            Event(id: "order-1", type: "placed", key: "alice", payload: Array("two tea pots".utf8)))

        // An ID of one's own, allocated before the commit: readers wait for it until the scope ends, and no longer.
        try await log.withNextID { id in
            try await log.persist(Event(id: "order-2", type: "placed", key: "bob"), as: id)
        }

        // A background reader, here or in any other process: in order, nothing skipped, nothing twice.
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
        await store.close()  // whoever is the last one to do so leaves one whole file
        // quick start: end
    }
}
