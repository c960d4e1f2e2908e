import Foundation
import TestSupport
import Testing
import Tidemark

@testable import TidemarkPostgreSQL

/// What has been seen to skip events on PostgreSQL; each beside the plain way, which fails.
@Suite(.enabled(if: TestCluster.isAvailable)) struct HazardTests {
    @Test func `a query that the server reads after its client was settled commits nothing`() async throws {
        try await withStore { store, _ in
            let joined = try await store.join(stream, as: "p1", nonce: 1)
            let late = EventGroup(events("late"), in: stream, by: joined.writer, fence: joined.fence)
            // The plain way: it looks, finds nothing and goes by that; then the late query commits.
            #expect(try await store.event(withID: "plain", in: stream) == nil)
            let plain = EventGroup(events("plain"), in: stream, by: joined.writer, fence: joined.fence)
            #expect(try await store.persist(plain).outcomes == [.persisted(1)])

            let settled = try await store.settle([late, plain])
            #expect(settled.groups == [nil, PersistedGroup(outcomes: [.persisted(1)])])
            #expect(settled.fence == joined.fence + 1)
            await #expect(
                throws: TidemarkError.fenced(stream: stream, writer: joined.writer, fence: settled.fence)
            ) { try await store.persist(late) }
            #expect(try await store.settle([late]).fence == settled.fence)
            let again = EventGroup(late.events, in: stream, by: joined.writer, fence: settled.fence)
            #expect(try await store.persist(again).outcomes == [.persisted(2)])
        }
    }

    @Test func `a group under way is waited for before it is settled`() async throws {
        try await withStore { store, configuration in
            let joined = try await store.join(stream, as: "p1", nonce: 1)
            let group = EventGroup(events("a"), in: stream, by: joined.writer, fence: joined.fence)
            let open = try await OpenTransaction(configuration) { try $0.persist("a", "p1", epoch: 1) }
            async let settling = store.settle([group])
            try await eventually("settling waits") { try await store.waiting() == 1 }
            try await open.commit()
            #expect(try await settling.groups == [PersistedGroup(outcomes: [.persisted(1)])])
        }
    }

    @Test func `a commit that comes in the other order is not passed`() async throws {
        try await withStore { store, configuration in
            let first = try await store.join(stream, as: "p1").writer
            let second = try await store.join(stream, as: "p2").writer
            let open = try await OpenTransaction(configuration) { try $0.persist("a", "p1", epoch: 1) }
            _ = try await store.persist(events("b"), in: stream, by: second)
            #expect(try await store.beat(second, at: 2) == .alive(newestCommitted: 2, durablePosition: 2))
            // The plain way: the highest ID that is visible is 2, and 1 comes later.
            #expect(try await store.batch()?.newestEvent == 2)
            let found = try #require(try await store.reconciliation(of: stream, above: 0, limit: 10))
            #expect(found.membership.members[first] == 0)
            #expect(found.finished == [2...2])
            #expect(try await store.status(of: stream)?.minimumPersisted == 0)
            try await open.commit()
            #expect(try await store.finished() == [1...2])
        }
    }

    @Test func `a gap that a roll-back left is passed when it has a tombstone`() async throws {
        try await withStore { store, configuration in
            let writer = try await store.join(stream, as: "p1").writer
            let ids = try await store.allocate(1, in: stream, for: writer)
            let incarnation = try #require(try await store.batch()?.membership.incarnation)
            let open = try await OpenTransaction(configuration) { session in
                try session.commit(ids, "p1", epoch: 1, incarnation)
            }
            try await open.rollBack()
            _ = try await store.persist(events("b"), in: stream, by: writer)
            // The plain way stands at the gap for ever, or guesses.
            #expect(try await store.finished() == [2...2])
            #expect(
                try await store.abandon(ids, allocatedIn: incarnation, in: stream, by: writer) == AbandonedIDs())
            #expect(try await store.finished() == [1...2])
            let late = await #expect(throws: PostgresError.self) {
                try await connecting(configuration) { try $0.commit(ids, "p1", epoch: 1, incarnation) }
            }
            #expect(late?.sqlState == "TM007")
        }
    }

    @Test func `IDs of a user's own transaction are at their places, or abandoned, but never both`() async throws {
        try await withStore { store, configuration in
            let writer = try await store.join(stream, as: "p1").writer
            let ids = try await store.allocate(2, in: stream, for: writer)
            let incarnation = try #require(try await store.batch()?.membership.incarnation)
            let open = try await OpenTransaction(configuration) { session in
                try session.query("CREATE TABLE letters (id bigint)")
                try session.commit([ids[0]], "p1", epoch: 1, incarnation)
            }
            // It holds no settling up, and abandoning waits for it.
            _ = try await store.settle([EventGroup(events("x"), in: stream, by: writer)])
            async let abandoned = store.abandon(ids, allocatedIn: incarnation, in: stream, by: writer)
            try await eventually("abandoning waits") { try await store.waiting() == 1 }
            try await open.commit()
            #expect(try await abandoned == AbandonedIDs(committed: [1]))
            #expect(try await store.batch()?.externalEvents.map(\.streamID) == [1])
        }
    }

    @Test func `a role whose default is REPEATABLE READ writes all the same, and is refused in its own transaction`()
        async throws
    {
        try await withStore { _, configuration in
            try await connecting(configuration) { session in
                _ = try session.query("CREATE ROLE careful LOGIN SUPERUSER")
                _ = try session.query("ALTER ROLE careful SET default_transaction_isolation = 'repeatable read'")
            }
            let careful = try PostgresConfiguration(
                configuration.address.parameters.merging(["user": "careful"]) { $1 }.map { "\($0)=\($1)" }
                    .joined(separator: " "))
            try await withStore(at: careful) { store in
                let writer = try await store.join(stream, as: "p1").writer
                #expect(try await store.persist(events("a"), in: stream, by: writer) == [.persisted(1)])
                let plain = await #expect(throws: PostgresError.self) {
                    try await connecting(careful) { try $0.persist("b", "p1", epoch: 1) }
                }
                #expect(plain?.sqlState == "TM001")
            }
        }
    }

    @Test func `under REPEATABLE READ the plain check sees what was there before its lock`() async throws {
        try await withStore { store, configuration in
            let writer = try await store.join(stream, as: "p1").writer
            let ids = try await store.allocate(1, in: stream, for: writer)
            let key = "tidemark.writer_lock_1('events', 'p1')"
            let check = "SELECT position < $1 FROM tidemark.instances WHERE instance = 'p1'"
            var answers: [Bool] = []
            for level in ["REPEATABLE READ", "READ COMMITTED"] {
                // closer                                       plain writer
                // has the lock
                //                                              takes its snapshot, waits for the lock
                // raises the position, commits
                //                                              has the lock, looks: may it commit?
                let closer = try await OpenTransaction(configuration) { session in
                    _ = try session.query("SELECT pg_advisory_xact_lock(\(key))")
                    _ = try session.query(
                        "UPDATE tidemark.instances SET position = $1 WHERE instance = 'p1'", [.int64(ids[0].rawValue)])
                }
                async let plain = connecting(configuration) { session in
                    try session.query("BEGIN ISOLATION LEVEL \(level)")
                    _ = try session.query("SELECT pg_advisory_xact_lock_shared(\(key))")
                    let mayCommit = try session.query(check, [.int64(ids[0].rawValue)]).bool(0, 0)
                    try session.query("ROLLBACK")
                    return mayCommit
                }
                try await eventually("the plain writer waits") { try await store.waiting() == 1 }
                try await closer.commit()
                answers.append(try await plain)
                try await connecting(configuration) { _ = try $0.query("UPDATE tidemark.instances SET position = 0") }
            }
            #expect(answers == [true, false])
        }
    }

    @Test(arguments: [false, true])
    func `a transaction that has nothing to do with the stream holds no reader up`(isPrepared: Bool) async throws {
        let configuration = try await TestCluster.newDatabase()
        let other = try await TestCluster.newDatabase()
        try await withStore(at: configuration) { store in
            try await withLog(store, as: "p1") { log in
                let open = try await OpenTransaction(other) { session in
                    _ = try session.query("CREATE TABLE letters (id bigint)")
                    _ = try session.query("INSERT INTO letters VALUES (1)")
                }
                if isPrepared { try await open.finish("PREPARE TRANSACTION 'unrelated'") }
                let id = try await log.persist(Event(id: "a", type: "t"))
                // The plain watermark stays below whatever writes anywhere in the cluster, for as long as that is open.
                let plain = try await connecting(configuration) { session in
                    try session.query(
                        """
                        SELECT count(*) FROM tidemark.events
                        WHERE transaction < pg_snapshot_xmin(pg_current_snapshot())
                        """
                    ).int64(0, 0)
                }
                #expect(plain == 0)
                var batches = log.events().makeAsyncIterator()
                #expect(try await batches.next()?.events.map(\.streamID) == [id])
                // It is open still, and nothing has waited for it.
                if isPrepared {
                    try await connecting(other) { _ = try $0.query("ROLLBACK PREPARED 'unrelated'") }
                } else {
                    try await open.rollBack()
                }
                try await eventually("the plain way comes after it") {
                    try await connecting(configuration) { session in
                        try session.query(
                            """
                            SELECT count(*) FROM tidemark.events
                            WHERE transaction < pg_snapshot_xmin(pg_current_snapshot())
                            """
                        ).int64(0, 0) == 1
                    }
                }
            }
        }
    }

    /// What changes for others what may be committed.
    enum Change: CaseIterable, Sendable {
        case join, leave, close, retire

        var refusal: String {
            switch self {
            case .join: "TM005"
            case .leave, .retire: "TM004"
            case .close: "TM007"
            }
        }
    }

    //  transaction of the writer's own         change
    //  has looked, and commits an ID
    //                                          waits
    //  COMMIT
    //                                          is done, and nothing more of before commits
    @Test(arguments: Change.allCases)
    func `what changes a promise waits for the transactions that were checked before it`(_ change: Change) async throws
    {
        try await withStore { store, configuration in
            let writer = try await store.join(stream, as: "p1").writer
            let ids = try await store.allocate(2, in: stream, for: writer)
            let incarnation = try #require(try await store.batch()?.membership.incarnation)
            let open = try await OpenTransaction(configuration) { try $0.commit([ids[0]], "p1", epoch: 1, incarnation) }
            let changing = Task {
                switch change {
                case .join: _ = try await store.join(stream, as: "p1")
                case .leave: try await store.leave(stream, as: writer)
                case .close: _ = try await store.closeWriter(stream, instance: "p1")
                case .retire: try await store.retire(stream, instance: "p1")
                }
            }
            try await eventually("it waits") { try await store.waiting() == 1 }
            try await open.commit()
            try await changing.value
            #expect(try await store.batch()?.externalEvents.map(\.streamID) == [ids[0]])
            let late = await #expect(throws: PostgresError.self) {
                try await connecting(configuration) { try $0.commit([ids[1]], "p1", epoch: 1, incarnation) }
            }
            #expect(late?.sqlState == change.refusal)
        }
    }

    @Test func `a transaction that stands in the way of closing is ended after the limit`() async throws {
        var options = PostgreSQLStoreOptions()
        options.lockLimit = .milliseconds(200)
        try await withStore(options) { store, configuration in
            let writer = try await store.join(stream, as: "p1").writer
            let ids = try await store.allocate(1, in: stream, for: writer)
            let incarnation = try #require(try await store.batch()?.membership.incarnation)
            let stuck = try await OpenTransaction(configuration) { try $0.commit(ids, "p1", epoch: 1, incarnation) }
            try await eventually("it is old enough") {
                try await connecting(configuration) { session in
                    try session.query("SELECT age_ms > 200 FROM tidemark.holders_1('events', 'p1')").bool(0, 0)
                }
            }
            #expect(try await store.closeWriter(stream, instance: "p1") == 1)
            await #expect(throws: PostgresError.self) { try await stuck.commit() }
            #expect(try await store.abandon(ids, in: stream, by: writer).isEmpty)
        }
    }

    @Test func `a prepared transaction in the way of closing is named, because nobody can end it`() async throws {
        var options = PostgreSQLStoreOptions()
        options.lockLimit = .milliseconds(100)
        try await withStore(options) { store, configuration in
            let writer = try await store.join(stream, as: "p1").writer
            let ids = try await store.allocate(1, in: stream, for: writer)
            let incarnation = try #require(try await store.batch()?.membership.incarnation)
            let open = try await OpenTransaction(configuration) { try $0.commit(ids, "p1", epoch: 1, incarnation) }
            try await open.finish("PREPARE TRANSACTION 'left behind'")
            let error = await #expect(throws: TidemarkError.self) {
                try await store.closeWriter(stream, instance: "p1")
            }
            guard case .writeLockHeld(_, let holder, _) = error else {
                Issue.record("\(String(describing: error))")
                return
            }
            #expect(holder?.contains("prepared transaction \"left behind\"") == true)
            try await connecting(configuration) { _ = try $0.query("COMMIT PREPARED 'left behind'") }
            #expect(try await store.closeWriter(stream, instance: "p1") == 1)
            #expect(try await store.finished() == [1...1])
        }
    }

    @Test func `when a backend is killed IDs come again, and those of before are void`() async throws {
        let cluster = try await TestCluster()
        let configuration = try await cluster.newDatabase("crash")
        try await withStore(at: configuration) { store in
            let before = try await store.join(stream, as: "p1", nonce: 1)
            _ = try await store.persist(events("a"), in: stream, by: before.writer)
            let ids = try await store.allocate(3, in: stream, for: before.writer)
            _ = try await store.persist(events("b")[0], as: ids[0], in: stream, by: before.writer)
            let started = try await store.postmasterStart(configuration)
            let victim = try await OpenTransaction(configuration) { _ in }
            #expect(kill(victim.processID, SIGKILL) == 0)
            await #expect(throws: PostgresError.self) { try await victim.commit() }
            try await eventually("the server is back") {
                // Not before it has seen that one died, and ended all the others.
                (try? await connecting(configuration) { try $0.query("SELECT FROM tidemark.token").count }) == 0
            }
            // The plain way: by its start time the server is the same.
            #expect(try await store.postmasterStart(configuration) == started)
            await #expect(throws: TidemarkError.retired(stream: stream, writer: before.writer)) {
                try await store.persist(events("c"), in: stream, by: before.writer)
            }
            await #expect(throws: TidemarkError.retired(stream: stream, writer: before.writer)) {
                try await store.persist(events("c")[0], as: ids[1], in: stream, by: before.writer)
            }
            #expect(try await store.beat(before.writer, at: 0) == .retired)
            let after = try await store.rejoin(stream, after: before.writer, nonce: 2)
            #expect(after.membership.incarnation != before.membership.incarnation)
            #expect(after.membership.version > before.membership.version)
            let void = try await store.abandon(
                ids, allocatedIn: before.membership.incarnation, in: stream, by: after.writer)
            #expect(void == AbandonedIDs(committed: [ids[0]], void: [ids[1], ids[2]]))
            let next = try await store.allocate(1, in: stream, for: after.writer)
            #expect(next[0] > ids[0])
            #expect(try await store.all().count == 2)
        }
    }
}

extension PostgresSession {
    fileprivate func persist(_ id: String, _ instance: String, epoch: Int64, fence: Int64 = 0) throws {
        _ = try query(
            "SELECT * FROM tidemark.persist_1('events', $1, $2, NULL, $3, 0, $4, ARRAY['t'], ARRAY[NULL], ARRAY[''::bytea])",
            [.text(instance), .int64(epoch), .int64(fence), .texts([id])])
    }

    fileprivate func commit(
        _ ids: [StreamID], _ instance: String, epoch: Int64, _ incarnation: Incarnation
    ) throws {
        _ = try query(
            "SELECT tidemark.commit_ids_1('events', $1, $2, $3, $4)",
            [.text(instance), .int64(epoch), .int64(incarnation.rawValue), .int64s(ids.map(\.rawValue))])
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

    fileprivate func postmasterStart(_ configuration: PostgresConfiguration) async throws -> Int64 {
        try await connecting(configuration) { try $0.query("SELECT pg_postmaster_start_time()").milliseconds(0, 0) }
    }
}
