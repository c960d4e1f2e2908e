import Foundation
import GRDB
import TestSupport
import Testing
import Tidemark
@testable import TidemarkSQLite

/// A backup that was copied over a database whose old `-wal` is there still.
@Suite struct StaleLogTests {
    private static let other: StreamName = "other"

    /// The database and its `-wal` as a crash would leave them now, in another folder.
    private static func crashed(_ folder: TemporaryFolder) throws -> TemporaryFolder {
        let copy = try TemporaryFolder()
        for end in ["", "-wal"] {
            try FileManager.default.copyItem(atPath: folder.database + end, toPath: copy.database + end)
        }
        return copy
    }

    private static func backUp(_ folder: TemporaryFolder) async throws -> Data {
        let copy = try TemporaryFolder()
        let from = try DatabaseQueue(path: folder.database)
        let to = try DatabaseQueue(path: copy.database)
        try from.backup(to: to)
        try to.close()
        try from.close()
        return try Data(contentsOf: URL(filePath: copy.database))
    }

    /// Everything is moved into the file, so that the next commit begins the `-wal` again.
    private static func empty(_ store: SQLiteEventStore) async throws {
        try await store.withWriter { try $0.execute(sql: "PRAGMA wal_checkpoint(RESTART)") }
    }

    enum FirstTransaction: CaseIterable {
        case group, ofAnotherStream, allocation, join, oneOfBoth, twiceInOne
    }

    private static func run(
        _ first: FirstTransaction, _ log: EventLog, _ otherLog: EventLog, _ store: SQLiteEventStore
    ) async throws {
        switch first {
        case .group: _ = try await log.persist(events("first"))
        case .ofAnotherStream: _ = try await otherLog.persist(events("first"))
        case .allocation: try await log.withNextID { _ in }
        case .join: _ = try await store.join(stream, as: "late")
        case .oneOfBoth:
            try await log.withNextID { id in
                try await otherLog.withNextID { otherID in
                    try await Self.empty(store)
                    try await store.write { db in
                        try log.commit([id], in: db)
                        try otherLog.commit([otherID], in: db)
                    }
                }
            }
        case .twiceInOne:
            try await log.withNextIDs(2) { ids in
                try await Self.empty(store)
                try await store.write { db in
                    try log.commit([ids[0]], in: db)
                    try log.commit([ids[1]], in: db)
                }
            }
        }
    }

    @Test(arguments: FirstTransaction.allCases, [false, true])
    func `the file and the -wal that a crash leaves are opened, an older copy of the file beside it is not`(
        first: FirstTransaction, isMoved: Bool
    ) async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let log = try await EventLog.open(store, stream: stream, instance: "p1", transport: nil)
        let otherLog = try await EventLog.open(store, stream: Self.other, instance: "p1", transport: nil)
        _ = try await log.persist(events("a"))
        _ = try await otherLog.persist(events("b"))
        let old = try await Self.backUp(folder)
        _ = try await log.persist(events("c"))
        let backup = try await Self.backUp(folder)
        _ = try await log.persist(events("d"))
        try await Self.empty(store)
        try await Self.run(first, log, otherLog, store)
        if isMoved {
            // A part of the `-wal` is in the file when it ends.
            try await store.withWriter { try $0.execute(sql: "PRAGMA wal_checkpoint(PASSIVE)") }
            _ = try await log.persist(events("e"))
        }
        _ = try await otherLog.persist(events("f"))

        let good = try Self.crashed(folder)
        let whole = try await good.open()
        #expect(
            try await whole.withWriter { try Int.fetchOne($0, sql: "SELECT count(*) FROM tidemark_events") } ?? 0 > 3)
        await whole.close()

        for copy in [old, backup] {
            let mixed = try Self.crashed(folder)
            try copy.write(to: URL(filePath: mixed.database))
            let log = try Data(contentsOf: URL(filePath: mixed.database + "-wal"))
            for readOnly in [true, false] {
                let error = await #expect(throws: TidemarkError.self) {
                    try await SQLiteEventStore.open(path: mixed.database, configuration: .init(readOnly: readOnly))
                }
                #expect("\(error.map(String.init(describing:)) ?? "")".contains("its -wal is of another state of it"))
                // Both are there still, for whoever has to put one of them right.
                #expect(try Data(contentsOf: URL(filePath: mixed.database)) == copy)
                #expect(try Data(contentsOf: URL(filePath: mixed.database + "-wal")) == log)
            }
            // As the error says.
            for end in ["-wal", "-shm"] { try? FileManager.default.removeItem(atPath: mixed.database + end) }
            await (try await mixed.open()).close()
        }
        await store.close()
    }

    enum Rewriting: CaseIterable { case vacuum, restore }

    /// What has all pages anew in one transaction fits any file, which it says nothing about.
    @Test(arguments: Rewriting.allCases, [false, true])
    func `a database of which all pages were written anew while it was open is opened`(
        how: Rewriting, isFirst: Bool
    ) async throws {
        let folder = try TemporaryFolder()
        // Before there were Tidemark's tables: a VACUUM puts the pages of indexes behind those of all tables.
        let own = try DatabaseQueue(path: folder.database)
        try await own.write { db in
            try db.execute(sql: "CREATE TABLE letter (id INTEGER PRIMARY KEY, name TEXT UNIQUE)")
            try db.execute(sql: "CREATE INDEX name ON letter (name)")
        }
        let store = try await folder.open()
        let log = try await EventLog.open(store, stream: stream, instance: "p1", transport: nil)
        _ = try await log.persist(events("a"))
        let backup = try TemporaryFolder()
        try await Self.backUp(folder).write(to: URL(filePath: backup.database))
        _ = try await log.persist(events("b", "c"))
        try await Self.empty(store)
        if !isFirst { _ = try await log.persist(events("d")) }
        let before = try await own.read { try StreamsPage.number($0) }
        switch how {
        case .vacuum: try await own.vacuum()
        case .restore: try DatabaseQueue(path: backup.database).backup(to: own)
        }
        let after = try await own.read { try StreamsPage.number($0) }
        #expect((before != after) == (how == .vacuum))

        for readOnly in [true, false] {
            try await SQLiteEventStore.open(path: folder.database, configuration: .init(readOnly: readOnly)).close()
            let crashed = try Self.crashed(folder)
            let found = try await SQLiteEventStore.open(
                path: crashed.database, configuration: .init(readOnly: readOnly))
            let ids = try await found.read { try String.fetchAll($0, sql: "SELECT event_id FROM tidemark_events") }
            #expect(ids == (how == .restore ? ["a"] : isFirst ? ["a", "b", "c"] : ["a", "b", "c", "d"]))
            await found.close()
        }
        try own.close()
        await store.close()
    }

    @Test func `a stream that is gone because it did not arrive does not matter`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let log = try await EventLog.open(store, stream: stream, instance: "p1", transport: nil)
        _ = try await log.persist(events("a"))
        try await store.beginArrival(of: Self.other, from: "elsewhere")
        try await Self.empty(store)
        try await store.cancelArrival(of: Self.other)
        await (try await folder.open()).close()
        await (try await Self.crashed(folder).open()).close()
        await store.close()
    }

    @Test func `a -wal from before there was a stream is not that of a file that has it`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let young = try Self.crashed(folder)
        _ = try await store.join(stream, as: "p1")
        try await Self.backUp(folder).write(to: URL(filePath: young.database))
        let error = await #expect(throws: TidemarkError.self) { try await young.open() }
        #expect("\(error.map(String.init(describing:)) ?? "")".contains("its -wal is of another state of it"))
        await store.close()
    }

    //  the service                                     the administrator
    //  looks at the file, all of which is moved
    //  commits, and begins the -wal again with it
    //  or others move a part of the -wal
    //                                                  copies a backup over the file
    //  looks again: the file is to be what the -wal says
    @Test(arguments: [false, true])
    func `a copy is noticed by whoever looks for the first time since the -wal has begun again, or was moved`(
        isMoved: Bool
    ) async throws {
        let folder = try TemporaryFolder()
        let (store, other) = (try await folder.open(), try await folder.open())
        let reader = try await folder.open(.init(readOnly: true))
        let writer = try await store.join(stream, as: "p1").writer
        _ = try await store.persist(events(0..<5), in: stream, by: writer)
        let backup = try await Self.backUp(folder)
        _ = try await store.persist(events(5..<10), in: stream, by: writer)
        try await Self.empty(store)
        for each in [store, other, reader] { _ = try await each.version() }
        _ = try await store.persist(events(10..<15), in: stream, by: writer)
        if isMoved {
            try await store.withWriter { try $0.execute(sql: "PRAGMA wal_checkpoint(PASSIVE)") }
            _ = try await store.persist(events(15..<20), in: stream, by: writer)
        }
        // The file is what it should be so far.
        _ = try await other.version()
        let file = try FileHandle(forWritingTo: URL(filePath: folder.database))
        try file.truncate(atOffset: 0)
        try file.write(contentsOf: backup)
        try file.close()
        let replaced = TidemarkError.databaseReplaced(store: store.path)
        await #expect(throws: replaced) { try await reader.version() }
        await #expect(throws: replaced) { try await other.version() }
        await #expect(throws: replaced) { try await store.persist(events("a"), in: stream, by: writer) }
    }

    //  the service         the administrator
    //  commits
    //                      copies a backup over the file
    //  closes              the copy is what it was, and what was committed is in the -wal still
    @Test(arguments: [false, true], [false, true])
    func `whoever closes a database that was copied over leaves the copy and the -wal as they are`(
        hasNoticed: Bool, isGone: Bool
    ) async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        _ = try await store.persist(events(0..<5), in: stream, by: writer)
        let backup = try await Self.backUp(folder)
        _ = try await store.persist(events(5..<500), in: stream, by: writer)
        try await Self.empty(store)
        _ = try await store.persist(events(500..<505), in: stream, by: writer)
        let log = try Data(contentsOf: URL(filePath: folder.database + "-wal"))

        let file = try FileHandle(forWritingTo: URL(filePath: folder.database))
        try file.truncate(atOffset: 0)
        try file.write(contentsOf: backup)
        try file.close()
        if isGone {
            for end in ["-wal", "-shm"] { try FileManager.default.removeItem(atPath: folder.database + end) }
        }
        if hasNoticed {
            await #expect(throws: TidemarkError.databaseReplaced(store: store.path)) {
                try await store.persist(events("a"), in: stream, by: writer)
            }
        }
        await store.close()
        #expect(try Data(contentsOf: URL(filePath: folder.database)) == backup)
        if !isGone { #expect(try Data(contentsOf: URL(filePath: folder.database + "-wal")) == log) }
    }

    /// Of many pages, so that the table of tables itself, or a tree, is a part of this and a part of that.
    @Test(arguments: [0, 5, 40, 400])
    func `a copy and a -wal that together are no database stay as they are`(inBackup: Int) async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        if inBackup > 0 { _ = try await store.persist(events(0..<inBackup), in: stream, by: writer) }
        let backup = try await Self.backUp(folder)
        _ = try await store.persist(events(1_000..<1_500), in: stream, by: writer)
        try await Self.empty(store)
        try await store.write { db in
            try db.execute(sql: "CREATE TABLE letter (id INTEGER PRIMARY KEY, name TEXT UNIQUE)")
        }
        _ = try await store.persist(events(1_500..<1_600), in: stream, by: writer)
        let mixed = try Self.crashed(folder)
        try backup.write(to: URL(filePath: mixed.database))
        let log = try Data(contentsOf: URL(filePath: mixed.database + "-wal"))
        for readOnly in [true, false] {
            let error = await #expect(throws: TidemarkError.self) {
                try await SQLiteEventStore.open(path: mixed.database, configuration: .init(readOnly: readOnly))
            }
            let text = "\(error.map(String.init(describing:)) ?? "")"
            #expect(text.contains("put the file back that belongs to the -wal"))
            #expect(try Data(contentsOf: URL(filePath: mixed.database)) == backup)
            #expect(try Data(contentsOf: URL(filePath: mixed.database + "-wal")) == log)
        }
        await store.close()
    }

    @Test func `whoever opens a database that others write to looks at both as well`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        for number in 0..<30 {
            _ = try await store.persist(events("\(number)"), in: stream, by: writer)
            if number % 7 == 3 { try await store.withWriter { try $0.execute(sql: "PRAGMA wal_checkpoint(PASSIVE)") } }
            await (try await folder.open()).close()
        }
        await store.close()
    }
}
