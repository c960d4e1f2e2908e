import Foundation
import GRDB
import Tidemark
import TidemarkSQLite

/// A shop that sends a letter for each order, with tables of its own: the order and its letter are written in one
/// transaction, and a relay sends the letters in order, none left out, whoever wrote them and whenever they commit.
@main
enum Outbox {
    static func main() async {
        do {
            try await run()
        } catch {
            // Thrown from here it would be a crash with a backtrace.
            FileHandle.standardError.write(Data("Outbox: \(error)\n".utf8))
            exit(1)
        }
    }

    static func run() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "tidemark-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appending(path: "shop.db").path

        // outbox: begin
        // The shop's own tables, in the same file.
        let store = try await SQLiteEventStore.open(path: path)
        try await store.write { db in
            try db.execute(
                sql: """
                    CREATE TABLE orders (number TEXT PRIMARY KEY, customer TEXT NOT NULL);
                    CREATE TABLE outbox (stream_id INTEGER PRIMARY KEY, letter TEXT NOT NULL);
                    """)
        }
        let log = try await EventLog.open(store, stream: "letters", instance: "shop-1")
        let service = Task { try await log.run() }

        // One transaction: the order, its letter, and the letter's place in the stream, or nothing of it.
        @Sendable func place(_ number: String, for customer: String) async throws {
            try await log.withNextID { id in
                try await store.write { db in
                    try db.execute(sql: "INSERT INTO orders VALUES (?, ?)", arguments: [number, customer])
                    try db.execute(
                        sql: "INSERT INTO outbox VALUES (?, ?)",
                        arguments: [id.rawValue, "Dear \(customer), we have your order \(number)."])
                    try log.commit([id], in: db)
                }
            }
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (number, customer) in [("1", "Alice"), ("2", "Bob"), ("3", "Carol")] {
                group.addTask { try await place(number, for: customer) }
            }
            try await group.waitForAll()
        }
        do {
            try await place("1", for: "Mallory")  // there is such an order: its letter is not sent either
        } catch let error as DatabaseError where error.resultCode == .SQLITE_CONSTRAINT {
            print("refused:", error.message ?? "")
        }
        try await place("4", for: "Dave")

        // The relay, here or in any other process. The batch says which rows are there; those, and no others, are read.
        let relay = try await log.consumer("relay")
        var sent = 0
        for try await batch in relay.events {
            let ids = batch.externalEvents.map(\.streamID.rawValue)
            let letters = try await store.read { db in
                let marks = databaseQuestionMarks(count: ids.count)
                return try String.fetchAll(
                    db, sql: "SELECT letter FROM outbox WHERE stream_id IN (\(marks)) ORDER BY stream_id",
                    arguments: StatementArguments(ids))
            }
            for letter in letters { print(letter) }
            try await relay.checkpoint(batch)
            sent += letters.count
            if sent == 4 { break }
        }

        service.cancel()
        try await service.value
        await store.close()
        // outbox: end
    }
}
