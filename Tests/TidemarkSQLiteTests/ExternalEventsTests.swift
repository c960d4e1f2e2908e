import GRDB
import Logging
import Synchronization
import TestSupport
import Testing
import Tidemark
import TidemarkTesting
@testable import TidemarkSQLite

/// What users persist into tables of their own, in transactions of their own.
@Suite struct ExternalEventsTests {
    /// A log that does nothing by itself, and a table of letters in the same file.
    private func open(
        _ folder: TemporaryFolder, as instance: InstanceName? = "p1", transport: (any ReplicationTransport)? = nil
    ) async throws -> (SQLiteEventStore, EventLog) {
        let store = try await folder.open()
        try await store.write { db in
            try db.execute(
                sql: "CREATE TABLE IF NOT EXISTS letters (stream_id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT")
        }
        var configuration = EventLogConfiguration()
        configuration.closesSilentWriters = false
        let log = try await EventLog.open(
            store, stream: stream, instance: instance, transport: transport, configuration: configuration,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        return (store, log)
    }

    @Sendable private static func insert(_ text: String, as id: StreamID, in db: Database) throws {
        try db.execute(sql: "INSERT INTO letters VALUES (?, ?)", arguments: [id.rawValue, text])
    }

    private func write(_ text: String, _ store: SQLiteEventStore, _ log: EventLog) async throws -> StreamID {
        try await log.withNextID { id in
            try await store.write { db in
                try Self.insert(text, as: id, in: db)
                try log.commit([id], in: db)
            }
            return id
        }
    }

    private func letters(_ store: SQLiteEventStore) async throws -> [String] {
        try await store.read { try String.fetchAll($0, sql: "SELECT text FROM letters ORDER BY stream_id") }
    }

    private func kinds(_ store: SQLiteEventStore) async throws -> [Int] {
        try await store.read { try Int.fetchAll($0, sql: "SELECT kind FROM tidemark_events ORDER BY stream_id") }
    }

    /// The next `count` events of the user's own.
    private func ownIDs(_ batches: EventBatches, _ count: Int) async throws -> [StreamID] {
        var ids: [StreamID] = []
        for try await batch in batches {
            ids += batch.externalEvents.map(\.streamID)
            if ids.count >= count { break }
        }
        return ids
    }

    @Test func `a row of one's own and its ID are committed together, and read in order`() async throws {
        let folder = try TemporaryFolder()
        let (store, log) = try await open(folder)
        let first = try await write("one", store, log)
        let event = try await log.persist(events("a")[0])
        let second = try await write("two", store, log)
        #expect([first, event, second] == [1, 2, 3])
        #expect(try await kinds(store) == [2, 0, 2])
        var iterator = log.events().makeAsyncIterator()
        let batch = try #require(try await iterator.next())
        #expect(batch.events.map(\.streamID) == [2])
        #expect(batch.externalEvents.map(\.streamID) == [1, 3])
        #expect(batch.externalEvents.map(\.mark.place) == [1, 3])
        #expect(batch.externalEvents.allSatisfy { $0.instance == "p1" })
        #expect(batch.through == 3)
        #expect(log.generator.minimumPersistedPosition == 3)
    }

    @Test func `a limit counts events of one's own, and a reader knows the database by them`() async throws {
        let folder = try TemporaryFolder()
        let (store, log) = try await open(folder)
        for index in 0..<5 { _ = try await write("\(index)", store, log) }
        let version = log.generator.watermark.membershipVersion
        var request = SnapshotRequest(
            delivered: nil, membershipVersion: version, after: 0, through: 5, limit: 2, byteLimit: .max)
        let batch = try #require(try await store.snapshot(of: stream, request))
        #expect(batch.externalEvents.map(\.streamID) == [1, 2])
        #expect(batch.isTruncated)
        #expect(batch.last?.streamID == 2 && batch.last?.eventID == nil)
        request.delivered = batch.last
        #expect(try await store.snapshot(of: stream, request)?.deliveredIsThere == true)
        request.delivered = Delivered(
            streamID: 2, mark: CommitMark(batch.externalEvents[1].mark.rawValue + 1), eventID: nil)
        #expect(try await store.snapshot(of: stream, request)?.deliveredIsThere == false)
    }

    @Test func `a late commit below newer ones is waited for`() async throws {
        let folder = try TemporaryFolder()
        let (store, log) = try await open(folder)
        let other = try await EventLog.open(store, stream: stream, instance: "p2")
        let consumer = Task { try await ownIDs(other.events(), 2) }
        try await log.withNextID { id in
            let later = try await write("later", store, log)
            #expect(later > id)
            try await log.reconcile()
            try await other.reconcile()
            #expect(other.generator.minimumPersistedPosition < id)
            try await store.write { db in
                try Self.insert("earlier", as: id, in: db)
                try log.commit([id], in: db)
            }
        }
        // Its position goes into the database, as every second: here nobody runs.
        let position = log.generator.position(of: "p1")
        #expect(position == 2)
        _ = try await store.beat(try #require(log.writer), at: position)
        try await other.reconcile()
        #expect(try await consumer.value == [1, 2])
        #expect(try await letters(store) == ["earlier", "later"])
    }

    @Test func `a closed ID is refused, and the transaction with it`() async throws {
        let folder = try TemporaryFolder()
        let (store, log) = try await open(folder)
        await #expect(throws: TidemarkError.closed(stream: stream, instance: "p1", id: 1)) {
            try await log.withNextID { id in
                _ = try await store.closeWriter(stream, instance: "p1")
                try await store.write { db in
                    try Self.insert("late", as: id, in: db)
                    try log.commit([id], in: db)
                }
            }
        }
        #expect(try await letters(store).isEmpty)
        #expect(try await kinds(store) == [1])
        #expect(try await write("again", store, log) == 2)
    }

    @Test func `an error that is swallowed does not commit the rest`() async throws {
        let folder = try TemporaryFolder()
        let (store, log) = try await open(folder)
        let closed = TidemarkError.closed(stream: stream, instance: "p1", id: 1)
        try await log.withNextID { id in
            _ = try await store.closeWriter(stream, instance: "p1")
            await #expect(throws: closed) {
                try await store.write { db in
                    try Self.insert("late", as: id, in: db)
                    try? log.commit([id], in: db)
                    try Self.insert("later", as: 99, in: db)
                }
            }
        }
        #expect(try await letters(store).isEmpty)
        // The next transaction of the same connection is not refused.
        try await store.write { try Self.insert("other", as: 7, in: $0) }
        #expect(try await letters(store) == ["other"])
    }

    @Test func `a tombstone refuses the commit`() async throws {
        let folder = try TemporaryFolder()
        let (store, log) = try await open(folder)
        try await log.withNextID { id in
            _ = try await store.abandon([id], in: stream, by: try #require(log.writer))
            await #expect(throws: TidemarkError.closed(stream: stream, instance: "p1", id: id)) {
                try await store.write { try log.commit([id], in: $0) }
            }
        }
        #expect(try await kinds(store) == [1])
    }

    @Test func `an ID is committed once, and only in its scope`() async throws {
        let folder = try TemporaryFolder()
        let (store, log) = try await open(folder)
        let kept = Mutex<StreamID>(0)
        try await log.withNextIDs(2) { ids in
            kept.withLock { $0 = ids[1] }
            try await store.write { try log.commit([ids[0]], in: $0) }
            for again in [[ids[0]], [ids[1], ids[1]], [ids[1], 3]] {
                await #expect(throws: TidemarkError.self) { try await store.write { try log.commit(again, in: $0) } }
            }
        }
        let late = kept.withLock { $0 }
        await #expect(throws: TidemarkError.closed(stream: stream, instance: "p1", id: late)) {
            try await store.write { try log.commit([late], in: $0) }
        }
        #expect(try await kinds(store) == [2, 1])
        #expect(try await store.status(of: stream)?.minimumPersisted == 2)
    }

    @Test func `one whose name was taken is told so, and writes no more`() async throws {
        let folder = try TemporaryFolder()
        let (store, log) = try await open(folder)
        let old = try #require(log.writer)
        let taken = TidemarkError.instanceTaken(stream: stream, writer: old, by: Writer("p1", epoch: 2))
        await #expect(throws: taken) {
            try await log.withNextID { id in
                _ = try await store.join(stream, as: "p1")
                try await store.write { db in
                    try Self.insert("zombie", as: id, in: db)
                    try log.commit([id], in: db)
                }
            }
        }
        #expect(try await letters(store).isEmpty)
        await #expect(throws: taken) { try await log.persist(events("a")[0]) }
    }

    @Test func `one that was retired takes a new ID and goes on`() async throws {
        let folder = try TemporaryFolder()
        let (store, log) = try await open(folder)
        await #expect(throws: TidemarkError.closed(stream: stream, instance: "p1", id: 1)) {
            try await log.withNextID { id in
                try await store.retire(stream, instance: "p1")
                try await store.write { try log.commit([id], in: $0) }
            }
        }
        #expect(try await write("again", store, log) == 2)
        #expect(log.writer?.epoch == 3)
    }

    @Test func `a transaction that is rolled back leaves a tombstone, with its savepoint too`() async throws {
        struct ChangedMind: Error {}
        let folder = try TemporaryFolder()
        let (store, log) = try await open(folder)
        await #expect(throws: ChangedMind.self) {
            try await log.withNextID { id in
                try await store.write { db in
                    try log.commit([id], in: db)
                    throw ChangedMind()
                }
            }
        }
        try await log.withNextID { id in
            try await store.write { db in
                try Self.insert("outside", as: 50, in: db)
                try db.inSavepoint {
                    try log.commit([id], in: db)
                    return .rollback
                }
            }
        }
        #expect(try await kinds(store) == [1, 1])
        #expect(try await letters(store) == ["outside"])
    }

    @Test func `a scope that throws after its commit leaves the row in peace`() async throws {
        struct Late: Error {}
        let folder = try TemporaryFolder()
        let (store, log) = try await open(folder)
        await #expect(throws: Late.self) {
            try await log.withNextID { id in
                try await store.write { db in
                    try Self.insert("kept", as: id, in: db)
                    try log.commit([id], in: db)
                }
                throw Late()
            }
        }
        #expect(try await kinds(store) == [2])
        #expect(log.generator.minimumPersistedPosition == 1)
        #expect(try await ownIDs(log.events(), 1) == [1])
    }

    @Test func `a process that is lost between commit and the end of its scope loses nothing`() async throws {
        let folder = try TemporaryFolder()
        let (store, log) = try await open(folder)
        let reader = try await EventLog.open(store, stream: stream, instance: "p2")
        // Two scopes that never end: one has committed, the other has not.
        let (committed, forever) = (Gate(), Gate())
        let scopes = Task {
            try await log.withNextIDs(2) { ids in
                try await store.write { db in
                    try Self.insert("kept", as: ids[1], in: db)
                    try log.commit([ids[1]], in: db)
                }
                await committed.open()
                await forever.pass()
            }
        }
        await committed.pass()
        #expect(try await store.closeWriter(stream, instance: "p1") == 2)
        try await reader.reconcile()
        #expect(try await ownIDs(reader.events(), 1) == [2])
        await forever.open()
        try await scopes.value
        #expect(try await kinds(store) == [1, 2])
    }

    @Test func `others hear of it`() async throws {
        let folder = try TemporaryFolder()
        let transport = LocalTransport()
        let (store, log) = try await open(folder, transport: transport)
        _ = try await write("told", store, log)
        struct Failure: Error {}
        await #expect(throws: Failure.self) { try await log.withNextID { _ in throw Failure() } }
        let rows = transport.sent.filter { if case .rdata = $0 { true } else { false } }.map(\.line)
        let nonce =
            try #require(try await store.reconciliation(of: stream, above: 0, limit: 0)?.membership.nonces)
            .values.first ?? 0
        #expect(rows == ["RDATA events p1#1.\(nonce) 1 []", "RDATA events p1#1.\(nonce) 2 null"])
    }

    @Test func `a connection of one's own may do it when its commits are durable`() async throws {
        let folder = try TemporaryFolder()
        let (store, log) = try await open(folder)
        let pool = try DatabasePool(path: folder.database)
        try await log.withNextID { id in
            let error = await #expect(throws: TidemarkError.self) {
                try await pool.write { try log.commit([id], in: $0) }
            }
            guard case .unsuitableTransaction(store.path, let problem) = error else {
                return #expect(Bool(false), "\(String(describing: error))")
            }
            #expect(problem.contains("synchronous = 1"))
        }
        try await pool.writeWithoutTransaction { try $0.execute(sql: "PRAGMA synchronous = FULL") }
        try await log.withNextID { id in
            try await pool.write { db in
                try Self.insert("mine", as: id, in: db)
                try log.commit([id], in: db)
            }
        }
        #expect(try await kinds(store) == [1, 2])
    }

    @Test func `another file, and no transaction at all, are refused`() async throws {
        let folder = try TemporaryFolder()
        let (store, log) = try await open(folder)
        let other = try TemporaryFolder()
        let (stranger, _) = try await open(other)
        try await log.withNextID { id in
            for refused in [
                { @Sendable () async throws in try await stranger.write { try log.commit([id], in: $0) } },
                { @Sendable () async throws in try await store.withWriter { try log.commit([id], in: $0) } },
            ] {
                let error = await #expect(throws: TidemarkError.self) { try await refused() }
                guard case .unsuitableTransaction(store.path, _) = error else {
                    return #expect(Bool(false), "\(String(describing: error))")
                }
            }
        }
        #expect(try await kinds(stranger).isEmpty)
    }

    @Test func `an error of the user's own statement is GRDB's, and nothing was written`() async throws {
        let folder = try TemporaryFolder()
        let (store, _) = try await open(folder)
        await #expect(throws: DatabaseError.self) {
            try await store.write { db in
                try Self.insert("one", as: 1, in: db)
                try Self.insert("two", as: 1, in: db)
            }
        }
        await #expect(throws: DatabaseError.self) { try await store.read { try $0.execute(sql: "SELECT nothing") } }
        #expect(try await letters(store).isEmpty)
    }
}

/// Lets nobody pass until it is opened.
actor Gate {
    private var isOpen = false
    private var waiters: [CheckedContinuation<Void, Never>] = []

    func open() {
        isOpen = true
        for waiter in waiters { waiter.resume() }
        waiters = []
    }

    func pass() async {
        if isOpen { return }
        await withCheckedContinuation { waiters.append($0) }
    }
}
