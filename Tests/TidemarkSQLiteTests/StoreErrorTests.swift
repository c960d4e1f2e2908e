import Foundation
import GRDB
import TestSupport
import Testing
import Tidemark
@testable import TidemarkSQLite

@Suite struct StoreErrorTests {
    @Test func `a full disk fails the write whole, and the store goes on when there is room`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        _ = try await store.persist(events("a"), in: stream, by: writer)
        // SQLite reports SQLITE_FULL when a file may have no more pages, as it does when a disk has no more.
        try await store.withWriter { db in
            let pages = try Int.fetchOne(db, sql: "PRAGMA page_count") ?? 0
            _ = try Int.fetchOne(db, sql: "PRAGMA max_page_count = \(pages + 4)")
        }
        let large = [
            Event(id: "small", type: "noted"),
            Event(id: "large", type: "noted", payload: [UInt8](repeating: 7, count: 100_000)),
        ]
        await #expect(throws: TidemarkError.storeFull(store: store.path)) {
            try await store.persist(large, in: stream, by: writer)
        }
        #expect(try await store.all().map(\.event.id) == ["a"])
        try await store.withWriter { db in
            #expect(!db.isInsideTransaction)
            _ = try Int.fetchOne(db, sql: "PRAGMA max_page_count = 100000")
        }
        #expect(try await store.persist(large, in: stream, by: writer) == [.persisted(2), .persisted(3)])
    }

    @Test(arguments: [.SQLITE_IOERR_WRITE, .SQLITE_IOERR_SHMSIZE, .SQLITE_CANTOPEN] as [ResultCode])
    func `no room is no room, whichever limit it is and whatever SQLite calls it`(code: ResultCode) {
        for systemError in [ENOSPC, EDQUOT, EFBIG] {
            #expect(Query.resultCode(code, systemError: systemError) == .SQLITE_FULL)
        }
        for systemError in [0, EIO, EACCES, EROFS, ENOENT, EPERM, EMFILE] {
            #expect(Query.resultCode(code, systemError: systemError) == code)
        }
    }

    /// It may be there all the same, or the error has nothing to do with room.
    @Test(
        arguments: [
            .SQLITE_IOERR_FSYNC, .SQLITE_IOERR_READ, .SQLITE_IOERR_TRUNCATE, .SQLITE_BUSY, .SQLITE_CORRUPT,
            .SQLITE_CONSTRAINT_PRIMARYKEY, .SQLITE_FULL,
        ] as [ResultCode])
    func `any other error stays what it is`(code: ResultCode) {
        for systemError in [0, ENOSPC, EDQUOT, EFBIG, EIO] {
            #expect(Query.resultCode(code, systemError: systemError) == code)
        }
    }

    @Test(arguments: [(ENOSPC, true), (EDQUOT, true), (EFBIG, true), (EIO, false)])
    func `a transaction of the user's own is told the same of a full disk`(systemError: CInt, isFull: Bool) async throws
    {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let error = await #expect(throws: TidemarkError.self) {
            try await store.write { _ in
                // As a statement of GRDB's leaves it.
                errno = systemError
                throw DatabaseError(resultCode: .SQLITE_IOERR_WRITE, message: "disk I/O error")
            }
        }
        if isFull {
            #expect(error == .storeFull(store: store.path))
        } else {
            #expect(error == .storeUnavailable(store: store.path, problem: "disk I/O error"))
        }
    }

    @Test func `a store that only reads sees what others write, and refuses to write`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        _ = try await store.persist(events("a"), in: stream, by: writer)
        let reader = try await folder.open(.init(readOnly: true))
        #expect(try await reader.all().map(\.event.id) == ["a"])
        _ = try await store.persist(events("b"), in: stream, by: writer)
        #expect(try await reader.all().map(\.event.id) == ["a", "b"])
        let refused = TidemarkError.readOnly(store: store.path)
        await #expect(throws: refused) { try await reader.join(stream, as: "p2") }
        await #expect(throws: refused) { try await reader.persist(events("c"), in: stream, by: writer) }
        await #expect(throws: refused) { try await reader.beat(writer, at: 0) }
        await #expect(throws: refused) { try await reader.claimConsumer("c", in: stream) }
    }

    @Test func `a write lock that does not come names its holder`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open(.init(busyTimeout: .milliseconds(20)))
        let writer = try await store.join(stream, as: "p1").writer
        var unsafe = Configuration()
        unsafe.allowsUnsafeTransactions = true
        let holder = try DatabaseQueue(path: folder.database, configuration: unsafe)
        try await holder.writeWithoutTransaction { try $0.execute(sql: "BEGIN IMMEDIATE") }
        var name: String?
        #if os(Linux)
        name = "instance p1 (process \(ProcessInfo.processInfo.processIdentifier))"
        #endif
        let held = TidemarkError.writeLockHeld(store: store.path, by: name, limit: .milliseconds(20))
        await #expect(throws: held) { try await store.persist(events("a"), in: stream, by: writer) }
        await #expect(throws: held) { try await store.beat(writer, at: 0) }
        try await holder.writeWithoutTransaction { try $0.execute(sql: "ROLLBACK") }
        #expect(try await store.persist(events("a"), in: stream, by: writer) == [.persisted(1)])
    }

    /// SQLite's own shells lock a database so that nobody can read.
    @Test(arguments: ["PRAGMA locking_mode = EXCLUSIVE", "PRAGMA journal_mode = DELETE"], [true, false])
    func `who opens what somebody lets nobody read waits less, and is told so`(
        pragma: String, readOnly: Bool
    ) async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        _ = try await store.join(stream, as: "p1")
        await store.close()
        var unsafe = Configuration()
        unsafe.allowsUnsafeTransactions = true
        let holder = try DatabaseQueue(path: folder.database, configuration: unsafe)
        try await holder.writeWithoutTransaction { db in
            _ = try Row.fetchAll(db, sql: pragma)
            try db.execute(sql: "BEGIN EXCLUSIVE; CREATE TABLE mine (x)")
        }
        var name: String?
        #if os(Linux)
        let process = ProcessInfo.processInfo.processIdentifier
        name = "process \(process) (\(try #require(WriteLockHolder.command(ofProcess: process))))"
        #endif
        let locked = TidemarkError.lockedForReading(store: store.path, by: name, limit: .milliseconds(20))
        #expect(locked.description.contains("nothing was read"))
        await #expect(throws: locked) {
            try await folder.open(
                .init(createsDatabase: false, readOnly: readOnly, readTimeout: .milliseconds(20)))
        }
        try await holder.writeWithoutTransaction { try $0.execute(sql: "ROLLBACK") }
    }

    @Test func `what is busy for a reader speaks of reading`() {
        let errors = SQLiteErrors(store: "x.db", busyTimeout: .seconds(30), readTimeout: .seconds(1))
        let error = errors.readError(DatabaseError(resultCode: .SQLITE_BUSY_RECOVERY)) { "process 7" }
        #expect(
            error as? TidemarkError == .lockedForReading(store: "x.db", by: "process 7", limit: .seconds(1)))
    }

    @Test func `what is no database at the first opening may be one that is being copied`() async throws {
        let folder = try TemporaryFolder()
        try String(repeating: "This is a letter. ", count: 100)
            .write(toFile: folder.database, atomically: true, encoding: .utf8)
        for readOnly in [true, false] {
            let error = await #expect(throws: TidemarkError.self) {
                try await folder.open(.init(readOnly: readOnly))
            }
            guard case .notADatabase(_, let problem) = error, problem.contains("being copied") else {
                return #expect(Bool(false), "\(String(describing: error))")
            }
        }
    }

    @Test func `a damaged file is reported as one`() {
        let errors = SQLiteErrors(store: "x.db", busyTimeout: .seconds(1)).afterOpening
        for (code, expected) in [
            (ResultCode.SQLITE_CORRUPT_INDEX, TidemarkError.notADatabase(store: "x.db", problem: "text")),
            (.SQLITE_NOTADB, .databaseReplaced(store: "x.db")),
            (.SQLITE_FULL, .storeFull(store: "x.db")),
            (.SQLITE_READONLY_DIRECTORY, .readOnly(store: "x.db")),
            (.SQLITE_CANTOPEN, .storeUnavailable(store: "x.db", problem: "text")),
            (.SQLITE_IOERR_FSYNC, .storeUnavailable(store: "x.db", problem: "text")),
            (.SQLITE_BUSY_RECOVERY, .writeLockHeld(store: "x.db", by: "process 7", limit: .seconds(1))),
        ] {
            let error = errors.tidemarkError(DatabaseError(resultCode: code, message: "text")) { "process 7" }
            #expect(error as? TidemarkError == expected, "\(code)")
        }
    }
}
