import Foundation
import GRDB
import Tidemark
import TidemarkSQLite

/// Accounts whose balances are a table that is kept from the stream, exactly once, in the same database. Whoever pays money in
/// sees it in the table afterwards.
@main
enum ReadModel {
    static func main() async {
        do {
            try await run()
        } catch {
            // Thrown from here it would be a crash with a backtrace.
            FileHandle.standardError.write(Data("ReadModel: \(error)\n".utf8))
            exit(1)
        }
    }

    static func run() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "tidemark-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appending(path: "bank.db").path

        // read model: begin
        struct Deposit: Codable {
            var cents: Int
        }

        let store = try await SQLiteEventStore.open(path: path)
        try await store.write { db in
            try db.execute(sql: "CREATE TABLE balances (account TEXT PRIMARY KEY, cents INTEGER NOT NULL)")
        }
        let log = try await EventLog.open(store, stream: "payments", instance: "bank-1")
        let service = Task { try await log.run() }

        // The table: what an event does to it and the consumer's checkpoint are one transaction. However often this loop is
        // ended in the middle, here or in another process, each event counts once.
        @Sendable func keepBalances() async throws {
            let model = try await log.consumer("balances", filter: .types(["deposited"]))
            for try await batch in model.events {
                try await store.write { db in
                    for event in batch.events {
                        try db.execute(
                            sql: """
                                INSERT INTO balances VALUES (?1, ?2)
                                ON CONFLICT (account) DO UPDATE SET cents = cents + excluded.cents
                                """, arguments: [event.event.key, try event.decoded(as: Deposit.self).cents])
                    }
                    try model.checkpoint(batch, in: db)
                }
            }
        }

        // In front of it: an event is persisted, the table has it, and the balance is read.
        @Sendable func pay(_ cents: Int, into account: String, id: String) async throws -> Int? {
            let event = try Event(id: id, type: "deposited", key: account, json: Deposit(cents: cents))
            let place = try await log.persist(event)
            guard try await log.wait(for: "balances", toPass: place, timeout: .seconds(10)) == .reached else {
                return nil
            }
            return try await store.read { db in
                try Int.fetchOne(db, sql: "SELECT cents FROM balances WHERE account = ?", arguments: [account])
            }
        }
        // read model: end

        // Made before anybody waits for it.
        _ = try await log.consumer("balances", filter: .types(["deposited"]))
        var model = Task { try await keepBalances() }
        for number in 1...40 {
            let balance = try await pay(100, into: "alice", id: "a\(number)")
            guard balance == number * 100 else { throw WrongBalance(account: "alice", balance: balance) }
            if number % 10 == 0 {
                // Ends the loop wherever it is, and begins another.
                model.cancel()
                _ = await model.result
                model = Task { try await keepBalances() }
            }
        }
        _ = try await log.persist(Event(id: "n", type: "noted"))
        // A payment that is sent twice counts once.
        let (balance, again) = try await (pay(700, into: "bob", id: "b"), pay(700, into: "bob", id: "b"))
        guard balance == 700, again == 700 else { throw WrongBalance(account: "bob", balance: again) }
        let balances = try await store.read { db in
            try Row.fetchAll(db, sql: "SELECT account, cents FROM balances ORDER BY account").map {
                "\($0[0] as String): \($0[1] as Int)"
            }
        }
        print(balances.joined(separator: "\n"))
        model.cancel()
        _ = await model.result
        service.cancel()
        try await service.value
        await store.close()
    }
}

/// A balance is not the sum of what was paid in.
struct WrongBalance: Error {
    let account: String
    let balance: Int?
}
