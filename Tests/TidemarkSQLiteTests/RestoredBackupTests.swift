import Foundation
import GRDB
import Logging
import TestSupport
import Testing
import Tidemark
@testable import TidemarkSQLite

/// An older copy of the database takes its place while processes use it. All of them say so: nothing is skipped.
@Suite struct RestoredBackupTests {
    private func quick() -> EventLogConfiguration {
        var configuration = EventLogConfiguration()
        configuration.heartbeatInterval = .milliseconds(20)
        configuration.reconcileInterval = .milliseconds(20)
        configuration.stallInterval = .milliseconds(20)
        configuration.closesSilentWriters = false
        return configuration
    }

    private func open(
        _ folder: TemporaryFolder, as instance: InstanceName?, _ configuration: EventLogConfiguration? = nil
    ) async throws -> EventLog {
        try await EventLog.open(
            folder.open(), stream: stream, instance: instance, configuration: configuration ?? quick(),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    private func expectBackwards(_ what: String, _ body: () async throws -> Void) async {
        let error = await #expect(throws: TidemarkError.self, "\(what)") { try await body() }
        guard case .databaseWentBackwards(stream, _, _) = error else {
            return #expect(Bool(false), "\(what): \(String(describing: error))")
        }
    }

    /// As by hand: `cp backup.db events.db; rm events.db-wal events.db-shm`, in full and in part.
    @Test(arguments: [["", "-wal", "-shm"], ["-wal", "-shm"], ["-wal"], ["-shm"]])
    func `files that were taken from under a process are not written to, nor read`(gone: [String]) async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        _ = try await store.persist(events("a"), in: stream, by: writer)
        let copy = try Data(contentsOf: URL(filePath: folder.database))
        for suffix in gone {
            if suffix.isEmpty {
                // Into the file that is there, which stays the same one.
                let file = try FileHandle(forWritingTo: URL(filePath: folder.database))
                try file.write(contentsOf: copy)
            } else {
                try FileManager.default.removeItem(atPath: folder.database + suffix)
            }
        }
        let replaced = TidemarkError.databaseReplaced(store: store.path)
        await #expect(throws: replaced) { _ = try await store.persist(events("b"), in: stream, by: writer) }
        #expect(throws: replaced) {
            _ = try store.persistImmediately(EventGroup(events("b"), in: stream, by: writer))
        }
        await #expect(throws: replaced) { _ = try await store.beat(writer, at: 1) }
        await #expect(throws: replaced) { _ = try await store.status(of: stream) }
    }

    @Test func `restored in place, everyone who has it open ends with an error`() async throws {
        let folder = try TemporaryFolder()
        let writer = try await open(folder, as: "p1")
        let idle = try await open(folder, as: "p2")
        let onlyReads = try await open(folder, as: nil)
        _ = try await writer.persist(events(0..<5))
        let copy = try folder.backUp()
        _ = try await writer.persist(events(5..<10))
        var iterator = onlyReads.events().makeAsyncIterator()
        try await idle.reconcile()
        // p2 is idle: its promise goes into the database with its heartbeats, as when it runs.
        _ = try await idle.store.heartbeat([
            Heartbeat(stream: stream, writer: try #require(idle.writer), position: idle.generator.position(of: "p2"))
        ])
        try await onlyReads.reconcile()
        #expect(try await iterator.next()?.through == 10)

        try folder.restore(copy)
        await expectBackwards("the writer") { try await writer.persist(events("a")[0]) }
        await expectBackwards("the writer, again") { try await writer.persist(events("a")[0]) }
        await expectBackwards("a wait") { _ = try await idle.waitUntilPersisted(11, timeout: .seconds(60)) }
        await expectBackwards("a reader") { _ = try await iterator.next() }
        await expectBackwards("an idle writer") { try await idle.run() }
        await expectBackwards("a log that only reads") { try await onlyReads.run() }
        await expectBackwards("a writer that runs") { try await writer.run() }
        #expect(try await writer.store.all().map(\.streamID) == [1, 2, 3, 4, 5])
    }

    @Test func `an idle writer's heartbeat alone finds it`() async throws {
        let folder = try TemporaryFolder()
        var configuration = quick()
        configuration.reconcileInterval = nil
        let idle = try await open(folder, as: "p1", configuration)
        let copy = try folder.backUp()
        _ = try await idle.persist(events(0..<5))
        try folder.restore(copy)
        await expectBackwards("run") { try await idle.run() }
    }

    @Test func `a copy that knows nothing of the writer or the stream is no database to write to`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let empty = try folder.backUp()
        let log = try await open(folder, as: "p1")
        let onlyReads = try await open(folder, as: nil)
        try await onlyReads.reconcile()
        try folder.restore(empty)
        let writer = try #require(log.writer)
        await expectBackwards("persist") { try await log.persist(events("a")[0]) }
        await expectBackwards("allocate") { _ = try await store.allocate(1, in: stream, for: writer) }
        await expectBackwards("abandon") { _ = try await store.abandon([1], in: stream, by: writer) }
        await expectBackwards("heartbeat") { _ = try await store.beat(writer, at: 0) }
        await expectBackwards("reconcile") { try await onlyReads.reconcile() }
    }

    @Test func `a copy that has come further than before is not taken for what it was`() async throws {
        let folder = try TemporaryFolder()
        let writer = try await open(folder, as: "p1")
        let onlyReads = try await open(folder, as: nil)
        let copy = try folder.backUp()
        _ = try await writer.persist(events(0..<5))
        try await onlyReads.reconcile()
        #expect(onlyReads.generator.minimumPersistedPosition == 5)
        try folder.restore(copy)
        // As a process would that began after the restoring: the members and their version are what they were.
        _ = try await folder.open().persist(events(10..<20), in: stream, by: try #require(writer.writer))
        await expectBackwards("reconcile") { try await onlyReads.reconcile() }
        await expectBackwards("a reader that goes on at what it had") {
            var iterator = onlyReads.events(after: 5).makeAsyncIterator()
            _ = try await iterator.next()
        }
    }

    // MARK: Other contents in the same file

    /// As `cp older.db events.db` does.
    private func copyOver(_ older: Data, _ folder: TemporaryFolder) throws {
        let file = try FileHandle(forWritingTo: URL(filePath: folder.database))
        try file.truncate(atOffset: 0)
        try file.write(contentsOf: older)
        try file.close()
    }

    private func checkpoint(_ folder: TemporaryFolder, _ mode: String) throws {
        let other = try DatabaseQueue(path: folder.database)
        _ = try other.writeWithoutTransaction { try Row.fetchAll($0, sql: "PRAGMA wal_checkpoint(\(mode))") }
    }

    @Test(arguments: [("PASSIVE", 0), ("PASSIVE", 3), ("TRUNCATE", 3)])
    func `an older copy that was written into the file is not written to`(mode: String, after: Int) async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        _ = try await store.persist(events(0..<5), in: stream, by: writer)
        try checkpoint(folder, mode)
        let older = try Data(contentsOf: URL(filePath: folder.database))
        _ = try await store.persist(events(5..<10), in: stream, by: writer)
        try checkpoint(folder, mode)
        // All of it is in the file, or some of it is in the `-wal` still.
        for number in 0..<after { _ = try await store.persist(events("b\(number)"), in: stream, by: writer) }
        try copyOver(older, folder)
        let replaced = TidemarkError.databaseReplaced(store: store.path)
        for _ in 0..<2 {
            await #expect(throws: replaced) { try await store.persist(events("a"), in: stream, by: writer) }
            await #expect(throws: replaced) { try await store.beat(writer, at: 0) }
            await #expect(throws: replaced) { try await store.join(stream, as: "p2") }
        }
    }

    /// Nothing is in memory of what was there: it is what a restored backup is.
    @Test func `nor is one that a process reads anew, because the -wal was emptied`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        _ = try await store.persist(events(0..<5), in: stream, by: writer)
        try checkpoint(folder, "TRUNCATE")
        let older = try Data(contentsOf: URL(filePath: folder.database))
        _ = try await store.persist(events(5..<10), in: stream, by: writer)
        try checkpoint(folder, "TRUNCATE")
        try copyOver(older, folder)
        await expectBackwards("persist") { _ = try await store.persist(events("a"), in: stream, by: writer) }
    }

    @Test func `a file that was only touched, or written to by checkpoints, is what it was`() async throws {
        let folder = try TemporaryFolder()
        let (store, other) = (try await folder.open(), try await folder.open())
        let writer = try await store.join(stream, as: "p1").writer
        let second = try await other.join(stream, as: "p2").writer
        _ = try await store.join("another", as: "p1")
        let reader = try await folder.open(.init(readOnly: true))
        let outside = try DatabaseQueue(path: folder.database)
        for (round, mode) in ["PASSIVE", "FULL", "RESTART", "TRUNCATE", "PASSIVE", "VACUUM"].enumerated() {
            for number in 0..<20 {
                let id = "\(round)-\(number)"
                _ = try await store.persist(events("a\(id)"), in: stream, by: writer)
                _ = try await other.persist(events("b\(id)"), in: stream, by: second)
                #expect(utimes(folder.database, nil) == 0)
                _ = try await reader.version()
                guard number % 4 == 0 else { continue }
                let sql = mode == "VACUUM" ? mode : "PRAGMA wal_checkpoint(\(mode))"
                _ = try outside.writeWithoutTransaction { try Row.fetchAll($0, sql: sql) }
                _ = try await reader.version()
            }
        }
        #expect(try await store.all().count == 240)
    }

    /// Nobody writes: SQLite itself would go on for ever with what it has in memory.
    @Test(arguments: ["PASSIVE", "TRUNCATE"])
    func `nor is one read on by those who only read`(mode: String) async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        _ = try await store.persist(events(0..<5), in: stream, by: writer)
        try checkpoint(folder, mode)
        let older = try Data(contentsOf: URL(filePath: folder.database))
        _ = try await store.persist(events(5..<10), in: stream, by: writer)
        try checkpoint(folder, mode)
        let readers = [try await folder.open(.init(readOnly: true)), store]
        for reader in readers { #expect(try await reader.all().count == 10) }
        try copyOver(older, folder)
        for reader in readers + readers { await expectReplacedForReaders(reader) }
    }

    private func expectReplacedForReaders(_ store: SQLiteEventStore) async {
        let replaced = TidemarkError.databaseReplaced(store: store.path)
        await #expect(throws: replaced) { try await store.reconciliation(of: stream, above: 0, limit: 1) }
        await #expect(throws: replaced) { try await store.all() }
        await #expect(throws: replaced) { try await store.status(of: stream) }
        await #expect(throws: replaced) { try await store.event(withID: "e1", in: stream) }
    }

    @Test func `a log that only reads ends when an older copy was written into the file`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        _ = try await store.persist(events(0..<5), in: stream, by: writer)
        await store.emptyLog()
        let older = try Data(contentsOf: URL(filePath: folder.database))
        _ = try await store.persist(events(5..<10), in: stream, by: writer)
        await store.emptyLog()
        let log = try await open(folder, as: nil)
        try await log.reconcile()
        var iterator = log.events().makeAsyncIterator()
        #expect(try await iterator.next()?.through == 10)
        try copyOver(older, folder)
        let replaced = TidemarkError.databaseReplaced(store: store.path)
        await #expect(throws: replaced) { _ = try await iterator.next() }
        await #expect(throws: replaced) { try await log.run() }
    }

    @Test(arguments: [true, false])
    func `in the middle of a copy the database was replaced too, for those who had it open`(
        isKnown: Bool
    ) async throws {
        for contents in [Data(), Data(String(repeating: "This is a text. ", count: 4096).utf8)] {
            let folder = try TemporaryFolder()
            let store = try await folder.open()
            let writer = try await store.join(stream, as: "p1").writer
            _ = try await store.persist(events(0..<5), in: stream, by: writer)
            let reader = try await folder.open(.init(readOnly: true))
            await store.emptyLog()
            // What is in memory is as the file was, or has to be read again.
            if isKnown {
                #expect(try await reader.all().count == 5)
                _ = try await store.beat(writer, at: 0)
            }
            try copyOver(contents, folder)
            await expectReplacedForReaders(reader)
            let replaced = TidemarkError.databaseReplaced(store: store.path)
            guard isKnown else { continue }
            await #expect(throws: replaced) { try await store.persist(events("a"), in: stream, by: writer) }
        }
    }

    //  writer                     readers
    //  commits, moves what the -wal has into the file, begins it again, …
    //                             read all the time: the file is what it should be
    @Test func `checkpoints while others read are no replacement`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        let readers = [try await folder.open(.init(readOnly: true)), try await folder.open()]
        let done = Counter()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for reader in readers + readers {
                group.addTask {
                    while done.value == 0 { _ = try await reader.version() }
                }
            }
            group.addTask {
                defer { done.add() }
                let outside = try DatabaseQueue(path: folder.database)
                for number in 0..<600 {
                    _ = try await store.persist(events("e\(number)"), in: stream, by: writer)
                    let mode = ["PASSIVE", "FULL", "RESTART", "TRUNCATE"][number % 4]
                    _ = outside.writeWithoutTransaction {
                        // Readers may stand in its way.
                        try? Row.fetchAll($0, sql: "PRAGMA wal_checkpoint(\(mode))")
                    }
                }
            }
            try await group.waitForAll()
        }
        for reader in readers { #expect(try await reader.all().count == 600) }
    }

    // MARK: Another file under the name

    /// Everything that a store does, as one whose file is not there any more.
    private func expectReplaced(_ store: SQLiteEventStore, _ writer: Writer) async {
        let replaced = TidemarkError.databaseReplaced(store: store.path)
        await #expect(throws: replaced) { try await store.persist(events("z"), in: stream, by: writer) }
        await #expect(throws: replaced) { try await store.allocate(1, in: stream, for: writer) }
        await #expect(throws: replaced) { try await store.beat(writer, at: 0) }
        await #expect(throws: replaced) { try await store.join(stream, as: "p9") }
        await #expect(throws: replaced) { try await store.reconciliation(of: stream, above: 0, limit: 1) }
        await #expect(throws: replaced) { try await store.all() }
        await #expect(throws: replaced) { try await store.status(of: stream) }
    }

    @Test func `a file that an older copy was renamed over is used no more`() async throws {
        let folder = try TemporaryFolder()
        let log = try await open(folder, as: "p1")
        let store = try #require(log.store as? SQLiteEventStore)
        _ = try await log.persist(events(0..<5))
        let older = folder.path + "/older.db"
        try DatabaseQueue(path: folder.database).backup(to: DatabaseQueue(path: older))
        _ = try await log.persist(events(5..<10))
        #expect(rename(older, folder.database) == 0)
        await expectReplaced(store, try #require(log.writer))
        await #expect(throws: TidemarkError.databaseReplaced(store: store.path)) { try await log.run() }
        await #expect(throws: TidemarkError.databaseReplaced(store: store.path)) {
            var iterator = log.events(after: 10).makeAsyncIterator()
            _ = try await iterator.next()
        }
    }

    @Test func `a file that was deleted while open is used no more`() async throws {
        let folder = try TemporaryFolder()
        let log = try await open(folder, as: "p1")
        let store = try #require(log.store as? SQLiteEventStore)
        _ = try await log.persist(events(0..<5))
        for suffix in ["", "-wal", "-shm"] { unlink(folder.database + suffix) }
        await expectReplaced(store, try #require(log.writer))
        await #expect(throws: TidemarkError.databaseReplaced(store: store.path)) { try await log.run() }
    }

    @Test func `a new file under the name of one that was moved away is not written to`() async throws {
        let folder = try TemporaryFolder()
        let log = try await open(folder, as: "p1")
        let store = try #require(log.store as? SQLiteEventStore)
        _ = try await log.persist(events(0..<5))
        for suffix in ["", "-wal", "-shm"] {
            #expect(rename(folder.database + suffix, folder.path + "/moved.db" + suffix) == 0)
        }
        let other = try await folder.open()
        await expectReplaced(store, try #require(log.writer))
        #expect(try await other.status(of: stream) == nil)
        await store.close()
        let moved = try await SQLiteEventStore.open(path: folder.path + "/moved.db")
        #expect(try await moved.all().count == 5)
    }
}
