import Foundation
import TestSupport
import Testing

@testable import Tidemark
@testable import TidemarkPostgreSQL

/// What the locks of keys are for: each interleaving is forced by a transaction that is open.
@Suite(.enabled(if: TestCluster.isAvailable)) struct KeyHazardTests {
    private func event(_ id: String, _ key: String? = "k") -> Event { Event(id: id, type: "noted", key: key) }

    private func group(_ calls: [([Event], KeyCondition?)], by writer: Writer) -> EventGroup {
        EventGroup(
            calls.flatMap(\.0), in: stream, by: writer,
            calls: calls.map { EventGroup.Call(events: $0.0.count, condition: $0.1) })
    }

    private func keys(_ store: PostgreSQLEventStore, _ key: String = "k") async throws -> [String] {
        try await store.events(ofKey: key, in: stream, after: 0, limit: 100, byteLimit: .max).map(\.event.id)
    }

    //  first                                   second
    //  has the key's lock, ID 1
    //                                          asks for an ID, and waits for the key
    //  commits
    //                                          ID 2, and looks at the newest: it is 1
    @Test func `an event's ID is allocated under its key's lock, and the newest looked at after it`() async throws {
        try await withStore { store, configuration in
            #expect(try await store.makeKeyIndex(of: stream) == .complete)
            _ = try await store.join(stream, as: "p1")
            let second = try await store.join(stream, as: "p2").writer
            let open = try await OpenTransaction(configuration) { try $0.persistKeyed(["first"], "p1") }
            let condition = KeyCondition(key: "k", expected: nil)
            async let refused = store.persist(group([([event("no")], condition)], by: second))
            try await eventually("the condition waits for the key") { try await store.waiting() == 1 }
            // The other one holds no ID while it waits.
            #expect(try await store.status(of: stream)?.sequence == 1)
            try await open.commit()
            #expect(try await refused.refusals == [0: .failed(.conflict(key: "k", expected: nil, found: 1))])
            #expect(try await store.persist([event("second")], in: stream, by: second) == [.persisted(2)])
            #expect(try await keys(store) == ["first", "second"])
        }
    }

    //  first                                   second, on conditions of other keys
    //  ID 1, with an event
    //                                          is judged: the event is not there; waits for its row
    //  commits
    //                                          is judged again: it is there, with another key
    @Test func `an event that comes while its call is judged is judged with it`() async throws {
        try await withStore { store, configuration in
            #expect(try await store.makeKeyIndex(of: stream) == .complete)
            _ = try await store.join(stream, as: "p1")
            let second = try await store.join(stream, as: "p2").writer
            let open = try await OpenTransaction(configuration) { try $0.persistKeyed(["x"], "p1", keys: ["other"]) }
            async let persisted = store.persist(
                group(
                    [
                        ([event("a")], KeyCondition(key: "k", expected: nil)),
                        ([event("x", "l")], KeyCondition(key: "l", expected: nil)),
                    ], by: second))
            try await eventually("its event waits for the other") { try await store.waiting() == 1 }
            try await open.commit()
            let found = try await persisted
            guard case .failed(.invalidEvent(_, "x", _)) = found.refusals[1], found.refusals.count == 1 else {
                Issue.record("\(found)")
                return
            }
            #expect(found.outcomes.count == 1 && found.tombstones.isEmpty)
            #expect(try await keys(store) == ["a"])
            #expect(try await keys(store, "l") == [])
            #expect(try await keys(store, "other") == ["x"])
        }
    }

    @Test func `a call whose key is not free is left out of the group, and comes first in the next one`() async throws {
        try await withStore { store, configuration in
            #expect(try await store.makeKeyIndex(of: stream) == .complete)
            let writer = try await store.join(stream, as: "p1").writer
            let held = try await OpenTransaction(configuration) { session in
                _ = try session.query("SELECT pg_advisory_xact_lock(tidemark.key_lock_1('events', 'held'))")
            }
            let persisted = try await store.persist(
                group(
                    [
                        ([event("a")], nil), ([event("b", "held"), event("c")], nil),
                        ([event("d", "l")], KeyCondition(key: "l", expected: nil)), ([event("e", nil)], nil),
                    ], by: writer))
            #expect(persisted.outcomes == [.persisted(1), .persisted(2), .persisted(3)])
            #expect(persisted.refusals == [1: .leftOut])
            #expect(try await store.batch()?.events.map(\.event.id) == ["a", "d", "e"])

            // Through a log: the others are told while one waits, which is first in its group then.
            try await withLog(store, as: "p2") { log in
                let late = Task { try await log.persist(event("late", "held")) }
                try await eventually("it waits for its key") { try await store.waiting() == 1 }
                #expect(try await store.event(withID: "late", in: stream) == nil)
                try await held.commit()
                #expect(try await late.value > 3)
            }
        }
    }

    /// All of them are in one group: the first one's transaction is held up until they have come.
    @Test func `callers whose keys are free do not wait for one whose key is not`() async throws {
        try await withStore { store, configuration in
            #expect(try await store.makeKeyIndex(of: stream) == .complete)
            try await withLog(store, as: "p1") { log in
                let first = try await OpenTransaction(configuration) { session in
                    _ = try session.query("SELECT pg_advisory_xact_lock(tidemark.key_lock_1('events', 'first'))")
                }
                let held = try await OpenTransaction(configuration) { session in
                    _ = try session.query("SELECT pg_advisory_xact_lock(tidemark.key_lock_1('events', 'held'))")
                }
                let begins = Task { try await log.persist(event("begins", "first")) }
                try await eventually("the first group waits") { try await store.waiting() == 1 }
                let calls = (0..<8).map { number in
                    Task { try await log.persist(event("e\(number)", number == 3 ? "held" : "k\(number)")) }
                }
                while log.persister.waitingCount != 8 { await Task.yield() }
                try await first.commit()
                _ = try await begins.value
                for (number, call) in calls.enumerated() where number != 3 { _ = try await call.value }
                #expect(try await store.event(withID: "e3", in: stream) == nil)
                try await held.commit()
                _ = try await calls[3].value
            }
        }
    }

    //  writer                                  scope
    //                                          has ID 1
    //  has the key's lock, ID 2
    //                                          waits for the key
    //  commits
    //                                          2 is above 1
    @Test func `an event under an ID of a scope waits for its key, and finds that it was passed`() async throws {
        try await withStore { store, configuration in
            #expect(try await store.makeKeyIndex(of: stream) == .complete)
            _ = try await store.join(stream, as: "p1")
            let scope = try await store.join(stream, as: "p2").writer
            let ids = try await store.allocate(1, in: stream, for: scope)
            let open = try await OpenTransaction(configuration) { try $0.persistKeyed(["newer"], "p1") }
            let late = Task { try await store.persist(event("late"), as: ids[0], in: stream, by: scope) }
            try await eventually("it waits for the key") { try await store.waiting() == 1 }
            try await open.commit()
            let error = await #expect(throws: TidemarkError.self) { try await late.value }
            #expect(error == .keyPassed(stream: stream, key: "k", id: 1, newest: 2))
            #expect(try await store.finished() == [1...2])
            #expect(try await keys(store) == ["newer"])
        }
    }

    @Test func `an index begins only after groups that have seen none have ended, and their events are in it`()
        async throws
    {
        try await withStore { store, configuration in
            _ = try await store.join(stream, as: "p1")
            let open = try await OpenTransaction(configuration) { session in
                _ = try session.query(
                    """
                    SELECT * FROM tidemark.persist_1(
                        'events', 'p1', 1, NULL, 0, 0, ARRAY['early'], ARRAY['t'], ARRAY['k'], ARRAY[''::bytea])
                    """)
            }
            async let built = store.completeKeyIndex(of: stream, rows: 10)
            try await eventually("building waits for the group") { try await store.waiting() == 1 }
            #expect(try await store.keyIndex(of: stream) == .building(from: StreamID(.max)))
            try await open.commit()
            try await built
            #expect(try await store.keyIndex(of: stream) == .complete)
            #expect(try await keys(store) == ["early"])
        }
    }

    @Test func `an index is complete only after groups that have seen it incomplete have ended`() async throws {
        try await withStore { store, configuration in
            let writer = try await store.join(stream, as: "p1").writer
            _ = try await store.persist([event("a")], in: stream, by: writer)
            #expect(try await store.buildKeyIndex(of: stream, limit: 1) == .building(from: 1))
            let open = try await OpenTransaction(configuration) { try $0.persistKeyed(["b"], "p1") }
            async let last = store.buildKeyIndex(of: stream, limit: 1)
            try await eventually("the last step waits for the group") { try await store.waiting() == 1 }
            try await open.commit()
            #expect(try await last == .complete)
            #expect(try await keys(store) == ["a", "b"])
        }
    }

    @Test func `a group with keys is refused in a transaction that would not see what came before its locks`()
        async throws
    {
        try await withStore { store, configuration in
            #expect(try await store.makeKeyIndex(of: stream) == .complete)
            _ = try await store.join(stream, as: "p1")
            try await connecting(configuration) { session in
                for level in ["REPEATABLE READ", "SERIALIZABLE"] {
                    try session.query("BEGIN ISOLATION LEVEL \(level)")
                    let refused = #expect(throws: PostgresError.self) { try session.persistKeyed(["a"], "p1") }
                    #expect(refused?.sqlState == "TM001")
                    try session.query("ROLLBACK")
                }
                try session.persistKeyed(["a"], "p1")
            }
            #expect(try await keys(store) == ["a"])
        }
    }

    @Test func `a call with many keys takes one lock for all of them, and whoever has any key waits for it`()
        async throws
    {
        try await withStore { store, configuration in
            #expect(try await store.makeKeyIndex(of: stream) == .complete)
            _ = try await store.join(stream, as: "p1")
            let second = try await store.join(stream, as: "p2").writer
            let ids = (0..<300).map { "e\($0)" }
            let open = try await OpenTransaction(configuration) { session in
                try session.persistKeyed(ids, "p1", keys: ids)
                let locks = try session.query(
                    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
                ).int64(0, 0)
                guard locks == 3 else { throw TookTooManyLocks(count: locks) }
            }
            async let other = store.persist([event("other", "e7")], in: stream, by: second)
            try await eventually("another one's key is not free") { try await store.waiting() == 1 }
            try await open.commit()
            #expect(try await other == [.persisted(301)])
            #expect(try await keys(store, "e7") == ["e7", "other"])
        }
    }

    @Test func `calls of a group with more keys than locks are left out`() async throws {
        try await withStore { store, _ in
            #expect(try await store.makeKeyIndex(of: stream) == .complete)
            let writer = try await store.join(stream, as: "p1").writer
            let calls = (0..<200).map { ([event("e\($0)", "k\($0)")], nil as KeyCondition?) }
            let persisted = try await store.persist(group(calls, by: writer))
            #expect(persisted.outcomes.count == 128 && persisted.refusals.count == 72)
            #expect(persisted.refusals.allSatisfy { $0.key >= 128 && $0.value == .leftOut })
            // A log persists them all.
            try await withLog(store, as: "p2") { log in
                let ids = try await withThrowingTaskGroup(of: StreamID.self) { tasks in
                    for call in calls { tasks.addTask { try await log.persist(call.0[0]) } }
                    return try await tasks.reduce(into: Set<StreamID>()) { $0.insert($1) }
                }
                #expect(ids.count == 200)
            }
        }
    }
}

private struct TookTooManyLocks: Error {
    let count: Int64
}

extension PostgresSession {
    /// One call with these events, as its owner's first epoch.
    fileprivate func persistKeyed(_ ids: [String], _ instance: String, keys: [String]? = nil) throws {
        let keys = keys ?? ["k"]
        _ = try query(
            """
            SELECT * FROM tidemark.persist_keyed_1(
                'events', $1, 1, NULL, 0, 0, $2, $3, $4, $5, NULL, $6, $7, $8, ARRAY[-1]::bigint[], ARRAY[0]::bigint[])
            """,
            [
                .text(instance), .texts(ids), .texts(ids.map { _ in "t" }),
                .texts(ids.indices.map { keys[keys.count == 1 ? 0 : $0] }), .byteStrings(ids.map { _ in [] }),
                .texts(keys),
                .int64s(ids.indices.map { keys.count == 1 ? 1 : Int64($0 + 1) }), .int64s(ids.map { _ in 1 }),
            ])
    }
}

extension PostgreSQLEventStore {
    /// How many backends of this database wait for a lock.
    fileprivate func waiting() async throws -> Int64 {
        try await pool.query(
            """
            SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
            """
        ) { try $0.int64(0, 0) }
    }
}
