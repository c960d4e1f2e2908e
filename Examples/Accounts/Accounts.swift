import Foundation
import Tidemark
import TidemarkSQLite

/// Accounts that are nothing but their events. Whoever withdraws loads them, decides, and appends what was decided only if
/// nothing was added meanwhile: no account is ever overdrawn, whoever else withdraws from it at the same time.
@main
enum Accounts {
    static func main() async {
        do {
            try await run()
        } catch {
            // Thrown from here it would be a crash with a backtrace.
            FileHandle.standardError.write(Data("Accounts: \(error)\n".utf8))
            exit(1)
        }
    }

    static func run() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "tidemark-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appending(path: "bank.db").path

        // accounts: begin
        struct Change: Codable {
            var cents: Int
        }

        /// An account as its events make it, and the newest of them.
        struct Account {
            var cents = 0
            var newest: StreamID?
        }

        let store = try await SQLiteEventStore.open(path: path)
        let log = try await EventLog.open(
            store, stream: "accounts", instance: "bank-1", configuration: EventLogConfiguration(hasKeyIndex: true))
        let service = Task { try await log.run() }

        // The events come in pages, until there is none.
        @Sendable func load(_ name: String, from log: EventLog) async throws -> Account {
            var account = Account()
            while true {
                let page = try await log.events(ofKey: name, after: account.newest ?? 0)
                guard let last = page.last else { return account }
                for event in page { account.cents += try event.decoded(as: Change.self).cents }
                account.newest = last.streamID
            }
        }

        // Whether the money was there. On a conflict somebody else was faster: the account is loaded again, and what
        // follows is decided again. The event has one id all the while: so it is there once, however often this is called.
        @Sendable func withdraw(_ cents: Int, from name: String, id: String, over log: EventLog) async throws -> Bool {
            while true {
                let account = try await load(name, from: log)
                guard account.cents >= cents else { return false }
                let event = try Event(id: id, type: "withdrawn", key: name, json: Change(cents: -cents))
                do {
                    try await log.persist([event], ifNewest: account.newest, ofKey: name)
                    return true
                } catch TidemarkError.conflict {
                    continue
                }
            }
        }
        // accounts: end

        try await log.persist(Event(id: "paid in", type: "deposited", key: "alice", json: Change(cents: 1000)))
        // Another process of the bank, as it would be.
        let second = try await EventLog.open(
            store, stream: "accounts", instance: "bank-2", configuration: EventLogConfiguration(hasKeyIndex: true))
        let otherService = Task { try await second.run() }
        let done = try await withThrowingTaskGroup(of: Bool.self) { tasks in
            for number in 1...20 {
                let log = number.isMultiple(of: 2) ? log : second
                tasks.addTask { try await withdraw(100, from: "alice", id: "w\(number)", over: log) }
            }
            var done: [Bool] = []
            for try await isDone in tasks { done.append(isDone) }
            return done
        }
        let left = try await load("alice", from: log).cents
        guard left == 0 else { throw WrongBalance(cents: left) }
        print("\(done.count { $0 }) withdrawals, \(done.count { !$0 }) refused, \(left) cents left")
        for service in [service, otherService] {
            service.cancel()
            try await service.value
        }
        await store.close()
    }
}

/// An account has another balance than it should.
struct WrongBalance: Error {
    let cents: Int
}
