import Foundation
import GRDB
import Logging
import TestSupport
import Testing
import Tidemark
@testable import TidemarkSQLite

/// When everybody has ended in order, everything is in the database file; and a `-wal` whose database is not there is
/// not written over.
@Suite struct LastOneOutTests {
    private func open(_ folder: TemporaryFolder, as instance: InstanceName?) async throws -> EventLog {
        try await EventLog.open(
            folder.open(), stream: stream, instance: instance,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    /// How many events a copy of the database file alone holds.
    private func countInCopy(_ folder: TemporaryFolder) async throws -> Int {
        let copy = try TemporaryFolder()
        try FileManager.default.copyItem(atPath: folder.database, toPath: copy.database)
        return try await copy.open(.init(createsDatabase: false)).all().count
    }

    private func expectRefusal(_ words: String, _ folder: TemporaryFolder) async {
        for configuration in [SQLiteConfiguration(), .init(createsDatabase: false), .init(readOnly: true)] {
            let error = await #expect(throws: TidemarkError.self) { try await folder.open(configuration) }
            if case .notADatabase(_, let problem) = error, problem.contains(words) { continue }
            // A database that is not there need not be made.
            if case .storeUnavailable = error, !FileManager.default.fileExists(atPath: folder.database) { continue }
            #expect(Bool(false), "\(String(describing: error))")
        }
    }

    @Test func `a store that was closed last leaves one whole file`() async throws {
        let folder = try TemporaryFolder()
        let log = try await open(folder, as: "p1")
        let onlyReads = try await open(folder, as: nil)
        _ = try await log.persist(events(0..<20))
        // Connections that read are open in both.
        #expect(try await log.store.all().count == 20)
        var iterator = onlyReads.events().makeAsyncIterator()
        _ = try await iterator.next()
        for log in [log, onlyReads] {
            await log.shutDown()
            await (log.store as? SQLiteEventStore)?.close()
        }
        #expect(!FileManager.default.fileExists(atPath: folder.database + "-wal"))
        #expect(!FileManager.default.fileExists(atPath: folder.database + "-shm"))
        #expect(try await countInCopy(folder) == 20)
    }

    //  a read                       another one closes the store
    //  begins
    //                               has the lock for that, and waits for the read
    //  ends
    //                               closes the connection of the read, and then the one that writes
    @Test func `a read that goes on when its store is closed leaves one whole file too`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        _ = try await store.persist(events(0..<100), in: stream, by: writer)
        let (hasBegun, mayEnd) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        let reading = Task {
            try await store.read { db in
                _ = try Int.fetchOne(db, sql: "SELECT count(*) FROM sqlite_master")
                hasBegun.signal()
                mayEnd.wait()
            }
        }
        await withCheckedContinuation { continuation in
            Thread {
                hasBegun.wait()
                continuation.resume()
            }.start()
        }
        let closing = Task { await store.close() }
        let lock = try FileLock(path: store.directory + "/open.lock", owner: nil)
        try await eventually("a store that closes") {
            let isFree = lock.tryLock()
            if isFree { lock.unlock() }
            return !isFree
        }
        mayEnd.signal()
        try await reading.value
        await closing.value
        #expect(!FileManager.default.fileExists(atPath: folder.database + "-wal"))
    }

    @Test func `of stores that are closed at the same time one is the last`() async throws {
        for _ in 0..<10 {
            let folder = try TemporaryFolder()
            let logs = try await withThrowingTaskGroup(of: EventLog.self) { group in
                for number in 0..<4 { group.addTask { try await open(folder, as: .init(validating: "p\(number)")) } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            for (number, log) in logs.enumerated() {
                _ = try await log.persist(events(number..<(number + 1)))
                #expect(try await log.store.all().count == number + 1)
            }
            await withTaskGroup(of: Void.self) { group in
                for log in logs {
                    group.addTask {
                        await log.shutDown()
                        await (log.store as? SQLiteEventStore)?.close()
                    }
                }
            }
            #expect(!FileManager.default.fileExists(atPath: folder.database + "-wal"))
            #expect(try await countInCopy(folder) == 4)
        }
    }

    @Test func `the last writer that leaves puts everything into the file, also where readers stay`() async throws {
        let folder = try TemporaryFolder()
        let log = try await open(folder, as: "p1")
        let other = try await open(folder, as: "p2")
        _ = try await log.persist(events(0..<20))
        let readOnly = try await folder.open(.init(readOnly: true))
        #expect(try await readOnly.all().count == 20)
        await log.shutDown()
        _ = try await other.persist(events("a"))
        await other.shutDown()
        #expect(try await countInCopy(folder) == 21)
        #expect(try await readOnly.all().count == 21)
    }

    @Test(arguments: [true, false])
    func `a new database is not made beside the -wal of one that is gone`(isEmpty: Bool) async throws {
        let folder = try TemporaryFolder()
        let log = try await open(folder, as: "p1")
        _ = try await log.persist(events(0..<5))
        let copy = try TemporaryFolder()
        try FileManager.default.copyItem(atPath: folder.database + "-wal", toPath: copy.database + "-wal")
        if isEmpty { #expect(FileManager.default.createFile(atPath: copy.database, contents: nil)) }
        await expectRefusal("there is its -wal", copy)
        // Put back, it has everything.
        try? FileManager.default.removeItem(atPath: copy.database)
        try FileManager.default.copyItem(atPath: folder.database, toPath: copy.database)
        #expect(try await copy.open().all().count == 5)
    }

    @Test func `an empty database whose -wal has commits that cannot be read is not begun anew`() async throws {
        let folder = try TemporaryFolder()
        let log = try await open(folder, as: "p1")
        _ = try await log.persist(events(0..<5))
        let copy = try TemporaryFolder()
        for suffix in ["", "-wal"] {
            try FileManager.default.copyItem(atPath: folder.database + suffix, toPath: copy.database + suffix)
        }
        let file = try FileHandle(forWritingTo: URL(filePath: copy.database + "-wal"))
        try file.write(contentsOf: Data(count: 32))
        try file.close()
        await expectRefusal("cannot be read", copy)
        let size = try FileManager.default.attributesOfItem(atPath: copy.database + "-wal")[.size] as? Int
        #expect(size ?? 0 > 0)
    }

    @Test func `what a process has left that was killed while it made the schema is no reason not to begin`()
        async throws
    {
        let folder = try TemporaryFolder()
        let log = try await open(folder, as: "p1")
        _ = try await log.persist(events("a"))
        let copy = try TemporaryFolder()
        for suffix in ["", "-wal"] {
            try FileManager.default.copyItem(atPath: folder.database + suffix, toPath: copy.database + suffix)
        }
        // Two frames of the first commit, which has more.
        #expect(truncate(copy.database + "-wal", 32 + 2 * (24 + 4096)) == 0)
        #expect(try await copy.open().all().isEmpty)
    }

    //  the store                 somebody
    //  checks, and commits
    //                            moves the files away
    //  does not acknowledge it
    @Test func `what was committed into files that were moved away meanwhile is not acknowledged`() async throws {
        let folder = try TemporaryFolder()
        let log = try await open(folder, as: "p1")
        let store = try #require(log.store as? SQLiteEventStore)
        _ = try await log.persist(events("a"))
        await #expect(throws: TidemarkError.databaseReplaced(store: store.path)) {
            try await store.write { db in
                db.add(transactionObserver: Mover(folder), extent: .nextTransaction)
                try db.execute(sql: "CREATE TABLE mine (x)")
            }
        }
    }
}

/// Moves the files of a database away while a transaction commits: after it was checked for the last time.
private final class Mover: TransactionObserver {
    private let folder: TemporaryFolder

    init(_ folder: TemporaryFolder) { self.folder = folder }

    func databaseWillCommit() throws {
        for suffix in ["", "-wal", "-shm"] {
            rename(folder.database + suffix, folder.path + "/moved.db" + suffix)
        }
    }

    func observes(eventsOfKind eventKind: DatabaseEventKind) -> Bool { false }
    func databaseDidChange(with event: DatabaseEvent) {}
    func databaseDidCommit(_ db: Database) {}
    func databaseDidRollback(_ db: Database) {}
}
