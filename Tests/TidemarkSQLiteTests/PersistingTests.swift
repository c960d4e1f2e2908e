import TestSupport
import Testing
import Tidemark
import TidemarkSQLite

@Suite struct PersistingTests {
    @Test func `a group is allocated and persisted in one commit`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open(.init(wallClockMilliseconds: { 1_700_000_000_123 }))
        let writer = try await store.join(stream, as: "p1").writer
        let group = [
            Event(id: "a", type: "opened", key: "account-1", payload: [0, 255, 10]),
            Event(id: "b", type: "opened", key: nil, payload: []),
            Event(id: "c", type: "gelöscht 🗑", key: "", payload: Array("zweitausend".utf8)),
        ]
        #expect(
            try await store.persist(group, in: stream, by: writer) == [.persisted(1), .persisted(2), .persisted(3)])
        let read = try await store.all()
        #expect(read.map(\.event) == group)
        #expect(read.map(\.streamID) == [1, 2, 3])
        #expect(read.allSatisfy { $0.instance == "p1" && $0.mark.place == 1 })
        #expect(read.allSatisfy { $0.persistedAtMilliseconds == 1_700_000_000_123 })
    }

    @Test func `the same event again writes nothing and takes no ID, in its group too`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        let outcomes = try await store.persist(events("a", "b", "a", "c"), in: stream, by: writer)
        #expect(outcomes == [.persisted(1), .persisted(2), .alreadyPersisted(1), .persisted(3)])
        let again = try await store.persist(events("c", "a"), in: stream, by: writer)
        #expect(again == [.alreadyPersisted(3), .alreadyPersisted(1)])
        let status = try await store.status(of: stream)
        #expect(status?.sequence == 3)
        #expect(try await store.persist(events("d"), in: stream, by: writer) == [.persisted(4)])
        #expect(try await store.all().map(\.mark.place) == [1, 1, 1, 2])
    }

    @Test func `event ids are compared byte for byte`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        let ids = ["caf\u{E9}", "cafe\u{301}", "a\0b", "a\0c", "a"]
        let group = ids.map { Event(id: $0, type: "noted", key: $0) }
        let outcomes = try await store.persist(group, in: stream, by: writer)
        #expect(outcomes == (1...5).map { .persisted(StreamID($0)) })
        for (index, id) in ids.enumerated() {
            let found = try await store.event(withID: id, in: stream)
            #expect(found?.streamID == StreamID(Int64(index + 1)))
            #expect(found.map { Array($0.event.id.utf8) } == Array(id.utf8))
            #expect(found?.event.key.map { Array($0.utf8) } == Array(id.utf8))
        }
        #expect(try await store.persist([group[3]], in: stream, by: writer) == [.alreadyPersisted(4)])
    }

    @Test func `types that Swift equates are read back as the bytes that they were`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        let group = [Event(id: "a", type: "caf\u{E9}"), Event(id: "b", type: "cafe\u{301}")]
        _ = try await store.persist(group, in: stream, by: writer)
        #expect(try await store.all().map { Array($0.event.type.utf8) } == group.map { Array($0.type.utf8) })
    }

    @Test func `an ID of a scope is committed late, below newer ones`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        let ids = try await store.allocate(2, in: stream, for: writer)
        #expect(ids == [1, 2])
        #expect(try await store.persist(events("c"), in: stream, by: writer) == [.persisted(3)])
        #expect(try await store.persist(events("a")[0], as: 1, in: stream, by: writer) == .persisted(1))
        #expect(try await store.all().map(\.streamID) == [1, 3])
        #expect(try await store.all().map(\.mark.place) == [2, 1])
        #expect(try await store.finished() == [1...1, 3...3])
    }

    @Test func `of two writers that race with one event the loser's ID gets a tombstone`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let one = try await store.join(stream, as: "p1").writer
        let two = try await store.join(stream, as: "p2").writer
        let first = try await store.allocate(1, in: stream, for: one)[0]
        let second = try await store.allocate(1, in: stream, for: two)[0]
        async let a = store.persist(events("a")[0], as: first, in: stream, by: one)
        async let b = store.persist(events("a")[0], as: second, in: stream, by: two)
        let outcomes = try await [a, b]
        let winner = outcomes[0].streamID
        #expect(Set(outcomes) == [.persisted(winner), .alreadyPersisted(winner)])
        #expect(try await store.all().map(\.streamID) == [winner])
        #expect(try await store.finished() == [1...2])
    }

    @Test func `persisting again under the ID that holds the event finds it there`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        let id = try await store.allocate(1, in: stream, for: writer)[0]
        _ = try await store.persist(events("a")[0], as: id, in: stream, by: writer)
        _ = try await store.closeWriter(stream, instance: "p1")
        #expect(try await store.persist(events("a")[0], as: id, in: stream, by: writer) == .alreadyPersisted(id))
        await #expect(throws: TidemarkError.closed(stream: stream, instance: "p1", id: id)) {
            try await store.persist(events("b")[0], as: id, in: stream, by: writer)
        }
    }

    @Test func `an ID above the sequence means that the database was put back`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        let error = await #expect(throws: TidemarkError.self) {
            try await store.persist(events("a")[0], as: 1, in: stream, by: writer)
        }
        guard case .databaseWentBackwards(_, 1, _) = error else {
            return #expect(Bool(false), "\(String(describing: error))")
        }
    }

    @Test func `streams of one file have sequences, ids and writers of their own`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let here = try await store.join(stream, as: "p1").writer
        let there = try await store.join("other", as: "p1").writer
        #expect(try await store.persist(events("a"), in: stream, by: here) == [.persisted(1)])
        #expect(try await store.persist(events("a", "b"), in: "other", by: there) == [.persisted(1), .persisted(2)])
        #expect(try await store.event(withID: "b", in: stream) == nil)
    }

    /// What waits can be taken out of the queue; what has begun cannot.
    @Test func `a task that was cancelled learns what became of its write`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return try await store.persist(events("a"), in: stream, by: writer)
        }
        let outcome = await task.result
        let isThere = try await store.event(withID: "a", in: stream) != nil
        switch outcome {
        case .success(let outcomes): #expect(outcomes == [.persisted(1)] && isThere)
        case .failure(let error): #expect(error is CancellationError && !isThere)
        }
    }
}
