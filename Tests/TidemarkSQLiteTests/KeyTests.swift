import GRDB
import TestSupport
import Testing
import Tidemark
import TidemarkSQLite

@Suite struct KeyTests {
    private static func event(_ id: String, _ key: String? = "k") -> Event { Event(id: id, type: "noted", key: key) }

    private static func indexed(_ folder: TemporaryFolder) async throws -> EventLog {
        try await EventLog.open(
            folder.open(), stream: stream, instance: "p1", configuration: EventLogConfiguration(hasKeyIndex: true))
    }

    @Test func `a log loads the events of a key, its own writes included, and appends where nothing was added`()
        async throws
    {
        let folder = try TemporaryFolder()
        let log = try await Self.indexed(folder)
        let ids = try await log.persist([Self.event("a"), Self.event("b")], ifNewest: nil, ofKey: "k")
        #expect(ids == [1, 2])
        #expect(try await log.events(ofKey: "k").map(\.event.id) == ["a", "b"])
        #expect(try await log.events(ofKey: "k", after: 1).map(\.event.id) == ["b"])
        await #expect(throws: TidemarkError.conflict(key: "k", expected: 1, found: 2)) {
            try await log.persist([Self.event("c")], ifNewest: 1, ofKey: "k")
        }
        #expect(try await log.persist([Self.event("c")], ifNewest: 2, ofKey: "k") == [3])
        // 0 is the ID of no event.
        #expect(try await log.persist([Self.event("x", "l")], ifNewest: 0, ofKey: "l") == [4])
        #expect(try await log.persist([], ifNewest: 1, ofKey: "k") == [])
        await log.shutDown()
    }

    /// The scope has its ID before the key gets a newer event, and puts its own there afterwards.
    @Test func `an event under an ID that its key has passed is refused, and readers pass the ID`() async throws {
        let folder = try TemporaryFolder()
        let log = try await Self.indexed(folder)
        let error = await #expect(throws: TidemarkError.self) {
            try await log.withNextID { id in
                try await log.persist(Self.event("newer"))
                try await log.persist(Self.event("late"), as: id)
            }
        }
        #expect(error == .keyPassed(stream: stream, key: "k", id: 1, newest: 2))
        #expect(try await log.waitUntilPersisted(2, timeout: .seconds(10)) == .reached)
        #expect(try await log.events(ofKey: "k").map(\.streamID) == [2])
        await log.shutDown()
    }

    @Test func `an event of a call that has another key, or none, is refused before anything is written`() async throws
    {
        let folder = try TemporaryFolder()
        let log = try await Self.indexed(folder)
        for key in ["other", nil, "caf\u{E9}"] {
            let error = await #expect(throws: TidemarkError.self) {
                try await log.persist(
                    [Self.event("a", "cafe\u{301}"), Self.event("b", key)], ifNewest: nil, ofKey: "cafe\u{301}")
            }
            guard case .invalidEvent(_, "b", _) = error else {
                return #expect(Bool(false), "\(String(describing: error))")
            }
        }
        #expect(try await log.store.status(of: stream)?.newestEvent == 0)
        await log.shutDown()
    }

    @Test func `an index is asked for when the stream is made, and refused of one that has events without`()
        async throws
    {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let log = try await EventLog.open(store, stream: stream, instance: "p1")
        try await log.persist(Self.event("a"))
        let missing = TidemarkError.noKeyIndex(stream: stream, store: store.path, isBuilding: false)
        await #expect(throws: missing) { try await log.events(ofKey: "k") }
        await #expect(throws: missing) { try await log.persist([Self.event("b")], ifNewest: 1, ofKey: "k") }
        await #expect(throws: missing) {
            try await EventLog.open(
                store, stream: stream, instance: "p2", configuration: EventLogConfiguration(hasKeyIndex: true))
        }
        try await store.completeKeyIndex(of: stream, rows: 1)
        #expect(try await log.persist([Self.event("b")], ifNewest: 1, ofKey: "k") == [2])
        await log.shutDown()
    }

    @Test func `a stream without an index has nothing in it`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        _ = try await store.persist([Self.event("a")], in: stream, by: writer)
        #expect(try await store.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM tidemark_keys") } == 0)
    }
}
