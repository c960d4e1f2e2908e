import Foundation
import TestSupport
import Testing
import Tidemark

@testable import TidemarkPostgreSQL

/// Copies of a cluster that live on: a standby that is promoted, and backups that are put back.
@Suite(.serialized, .timeLimit(.minutes(5)), .enabled(if: TestCluster.isAvailable)) struct LivesTests {
    /// A copy of a cluster in a folder beside it, which runs until the end of the test.
    private struct Copy {
        let name: String
        let port: Int
        let cluster: TestCluster

        init(_ name: String, of cluster: TestCluster) async throws {
            (self.name, self.cluster, port) = (name, cluster, try TestCluster.freePort())
            try await cluster.run(
                "pg_basebackup", "-h", cluster.folder, "-p", "\(cluster.port)", "-U", "postgres", "-D", folder, "-c",
                "fast",
                "--no-sync")
        }

        var folder: String { "\(cluster.folder)/\(name)" }

        /// - Parameter isStandby: whether it waits to be promoted. It follows nobody, as where replication has stopped.
        func start(isStandby: Bool, port: Int? = nil) async throws {
            let port = port ?? self.port
            if isStandby {
                #expect(FileManager.default.createFile(atPath: folder + "/standby.signal", contents: nil))
            }
            try await cluster.run(
                "pg_ctl", "-D", folder, "-w", "-l", "\(folder).log", "-o", "-p \(port) -c listen_addresses='127.0.0.1'",
                "start")
        }

        func promote() async throws { try await cluster.run("pg_ctl", "-D", folder, "-w", "promote") }

        func stop() async throws { try await cluster.run("pg_ctl", "-D", folder, "-m", "immediate", "-w", "stop") }

        /// A restart that the incarnation survives.
        func stopCleanly() async throws { try await cluster.run("pg_ctl", "-D", folder, "-m", "fast", "-w", "stop") }

        func configuration(database: String, port: Int? = nil) throws -> PostgresConfiguration {
            let port = port ?? self.port
            return try PostgresConfiguration("host=\(cluster.folder) port=\(port) dbname=\(database) user=postgres")
        }
    }

    /// A standby has the event 1, and not the tombstones of the 60 IDs above it. Readers and checkpoints pass those on the old
    /// primary. The standby is promoted, and hands out the same IDs again, out of reach of the old primary's clients; only
    /// when its sequence is above all that they have passed do they reach it, under the same address.
    ///
    ///     old primary   1: event   2…61: tombstones   | readers at 61
    ///     standby       1: event   34…: in flight, 94: event
    @Test func `after a promotion that lost IDs without events, whoever has passed them says so`() async throws {
        let cluster = try await TestCluster(["fsync=off"])
        let first = try await cluster.newDatabase("lead")
        let processor = ProcessorName("workers", of: stream)
        try await withStore(at: first) { store in
            let writer = try await store.join(stream, as: "p0").writer
            _ = try await store.persist(events("kept"), in: stream, by: writer)
            _ = try await store.claimConsumer("workers", in: stream)
            try await store.openProcessor(processor, filter: .all, partitions: 1)
            let process = ProcessorProcess(7)
            let look = try await store.beat(ProcessorBeat(process: process), of: processor)
            let partition = try #require(look.partitions.first)
            let claimed = try #require(
                try await store.claimPartitions(
                    [PartitionObservation(partition: 0, claim: partition.claim, owner: nil, heartbeat: nil)],
                    of: processor, by: process
                ).first)
            let claim = try await store.claimConsumer("mailer", in: stream)
            let copy = try await Copy("standby", of: cluster)
            try await copy.start(isStandby: true)
            let port = try TestCluster.freePort()
            let both = try PostgresConfiguration(
                "host=\(cluster.folder),\(cluster.folder) port=\(cluster.port),\(port) dbname=lead user=postgres "
                    + "target_session_attrs=read-write")
            try await withStore(at: both) { running in
                let log = try await EventLog.open(running, stream: stream)
                let ids = try await store.allocate(60, in: stream, for: writer)
                _ = try await store.abandon(ids, in: stream, by: writer)
                _ = try await store.beat(writer, at: 61)
                try await log.reconcile()
                var batches = log.events().makeAsyncIterator()
                let batch = try #require(try await batches.next())
                #expect(batch.events.map(\.streamID) == [1] && batch.through == 61)

                try await cluster.run("pg_ctl", "-D", "d", "-m", "immediate", "-w", "stop")
                try await copy.promote()
                var held: [StreamID] = []
                try await withStore(at: copy.configuration(database: "lead")) { promoted in
                    let joined = try await promoted.join(stream, as: "p2")
                    held = try await promoted.allocate(60, in: stream, for: joined.writer)
                    #expect(held.contains(61), "\(held) are not handed out a second time")
                    #expect(
                        try await promoted.persist(events("new"), in: stream, by: joined.writer)
                            == [.persisted(StreamID(try #require(held.last).rawValue + 1))])
                    // Nothing that is there contradicts what they have passed: the last event, the sequence, the claims.
                    let lost: Comment = "the incarnation hands out again"
                    await expectLoss(lost) {
                        try await promoted.checkpoint(
                            claim, at: 61, snapshot: batch.snapshot, delivered: nil, passed: batch.passed)
                    }
                    await expectLoss(lost) {
                        let passage = Passage(
                            position: 61, delivered: nil, passed: batch.passed, snapshot: batch.snapshot)
                        _ = try await promoted.checkpoint(
                            [.init(partition: 0, claim: claimed.claim, passage: passage, releases: false)],
                            of: processor)
                    }
                    await expectLoss(lost) {
                        _ = try await promoted.moveConsumer("mailer", in: stream, to: .after(batch.place))
                    }
                    // What was passed below is as it was.
                    try await promoted.checkpoint(
                        claim, at: 1, snapshot: batch.snapshot, delivered: nil, passed: batch.passed)
                }
                try await copy.stopCleanly()
                try await copy.start(isStandby: false, port: port)
                await expectLoss("a reader") { _ = try await batches.next() }
                await expectLoss("the log") { try await log.reconcile() }
                await expectLoss("who waits") {
                    _ = try await log.wait(for: "mailer", toPass: 1, timeout: .seconds(20))
                }
                await log.shutDown()
            }
            try await copy.stop()
        }
    }

    /// A process passes 1 and 2 on the old primary, and parks 1. The standby has the events and the claim, and not the checkpoint:
    /// nothing else there contradicts what the process goes on with.
    ///
    ///     old primary   1, 2, 3: events   | the partition at 2, 1 is parked
    ///     standby       1, 2, 3: events   | the partition at 0
    @Test func `after a promotion that lost a checkpoint, its process does not go on from there`() async throws {
        let cluster = try await TestCluster(["fsync=off"])
        let first = try await cluster.newDatabase("lead")
        let processor = ProcessorName("workers", of: stream)
        let process = ProcessorProcess(7)
        func checkpoint(_ claim: Int, from begin: StreamID, to position: StreamID, parking notes: [ParkingNote] = [])
            -> ProcessorMachine.Checkpoint
        {
            let passage = Passage(
                begin: begin, position: position, delivered: nil, passed: nil, snapshot: nil, parked: notes)
            return ProcessorMachine.Checkpoint(partition: 0, claim: claim, passage: passage, releases: false)
        }
        try await withStore(at: first) { store in
            let writer = try await store.join(stream, as: "p0").writer
            _ = try await store.persist(events("a", "b", "c"), in: stream, by: writer)
            _ = try await store.claimConsumer("workers", in: stream)
            try await store.openProcessor(processor, filter: .all, partitions: 1)
            let found = try #require(
                try await store.beat(ProcessorBeat(process: process), of: processor).partitions.first)
            let observed = PartitionObservation(partition: 0, claim: found.claim, owner: nil, heartbeat: nil)
            let claim = try #require(
                try await store.claimPartitions([observed], of: processor, by: process).first?.claim)
            let copy = try await Copy("standby", of: cluster)
            try await copy.start(isStandby: true)
            let note = ParkingNote(id: 1, reason: .exhausted, attempts: 5, problem: "no")
            let passed = try await store.checkpoint(
                [checkpoint(claim, from: 0, to: 2, parking: [note])], of: processor)
            #expect(passed == [true])
            try await cluster.run("pg_ctl", "-D", "d", "-m", "immediate", "-w", "stop")
            try await copy.promote()
            let promotedAt = try copy.configuration(database: "lead")
            try await withStore(at: promotedAt) { promoted in
                let further = try await promoted.checkpoint([checkpoint(claim, from: 2, to: 3)], of: processor)
                #expect(further == [false])
                let refusal = await #expect(throws: PostgresError.self) {
                    try await connecting(promotedAt) { session in
                        _ = try session.query(
                            """
                            SELECT tidemark.pass_event_1(
                                $1, 'workers', 0, $2, 2, 3, false, NULL, NULL, NULL, NULL, NULL, NULL)
                            """, [.text(stream.rawValue), .int64(Int64(claim))])
                    }
                }
                #expect(refusal?.sqlState == "TM010")
                let look = try await promoted.beat(ProcessorBeat(process: process), of: processor)
                #expect(look.partitions.map(\.position) == [0] && look.partitions.map(\.claim) == [claim])
                let again = PartitionObservation(partition: 0, claim: claim, owner: process, heartbeat: nil)
                let claimed = try await promoted.claimPartitions([again], of: processor, by: process)
                #expect(claimed.map(\.position) == [0])
            }
            try await copy.stop()
        }
    }

    /// A join is lost with the old primary. In the next life another process joins under the name, and gets the same epoch. The
    /// first one reaches that database under the same address, once its sequence is above all that it knows.
    ///
    ///     old primary   p1#1 of A
    ///     standby                 p1#1 of B, holds 34…93
    @Test func `after a promotion that lost a join, its process does nothing under the equal epoch of another one`()
        async throws
    {
        let cluster = try await TestCluster(["fsync=off"])
        let first = try await cluster.newDatabase("lead")
        try await withStore(at: first) { store in
            let writer = try await store.join(stream, as: "p0").writer
            _ = try await store.persist(events("kept"), in: stream, by: writer)
        }
        let copy = try await Copy("standby", of: cluster)
        try await copy.start(isStandby: true)
        let port = try TestCluster.freePort()
        let both = try PostgresConfiguration(
            "host=\(cluster.folder),\(cluster.folder) port=\(cluster.port),\(port) dbname=lead user=postgres "
                + "target_session_attrs=read-write")
        try await withStore(at: both) { store in
            let lost = try await store.join(stream, as: "p1")
            try await cluster.run("pg_ctl", "-D", "d", "-m", "immediate", "-w", "stop")
            try await copy.promote()
            let (holder, held) = try await withWriter(at: copy.configuration(database: "lead"), "p1") {
                promoted, joined in
                (joined, try await promoted.allocate(60, in: stream, for: joined.writer))
            }
            #expect(holder.writer == lost.writer && held.contains { $0 > lost.position })
            try await copy.stopCleanly()
            try await copy.start(isStandby: false, port: port)

            let writer = lost.writer
            let group = EventGroup(events("late"), in: stream, by: writer, known: lost.position, fence: lost.fence)
            await expectLoss("a group") { _ = try await store.persist(group) }
            await expectLoss("an allocation") { _ = try await store.allocate(1, in: stream, for: writer) }
            await expectLoss("a heartbeat") { _ = try await store.beat(writer, at: lost.position) }
            await expectLoss("giving up") { _ = try await store.abandon([held[0]], in: stream, by: writer) }
            await expectLoss("leaving") { try await store.leave(stream, as: writer) }
            await expectLoss("joining again") { _ = try await store.rejoin(stream, after: writer) }
            await #expect(throws: TidemarkError.closed(stream: stream, instance: "p1", id: held[0])) {
                _ = try await store.persist(events("late")[0], as: held[0], in: stream, by: writer)
            }
            let reservation = Reservation(
                namespace: store.options.namespace, stream: stream, writer: writer,
                incarnation: lost.membership.incarnation, ids: [held[0]])
            let refusal = await #expect(throws: PostgresError.self) {
                try await connecting(copy.configuration(database: "lead", port: port)) { session in
                    _ = try session.query(reservation.statement)
                }
            }
            #expect(refusal?.sqlState == "TM013")
            // Nothing of it is there, and nothing of it can be.
            #expect(try await store.settle([group]).groups == [nil])

            try await withStore(at: copy.configuration(database: "lead", port: port)) { promoted in
                #expect(
                    try await promoted.reconciliation(of: stream, above: 0, limit: 0)?.membership.members == [
                        holder.writer: holder.position
                    ])
                #expect(
                    try await promoted.persist(events("late")[0], as: held[0], in: stream, by: holder.writer)
                        == .persisted(held[0]))
                let outcomes = try await promoted.persist(events("new"), in: stream, by: holder.writer, known: held[0])
                #expect(outcomes == [.persisted(StreamID(try #require(held.last).rawValue + 1))])
            }
        }
        try await copy.stop()
    }

    /// `CREATE DATABASE … TEMPLATE` copies the token with the transaction that made it.
    @Test func `a database that was made of another one is another one`() async throws {
        let cluster = try await TestCluster(["fsync=off"])
        let first = try await cluster.newDatabase("lead")
        let joined = try await withWriter(at: first, "p1") { store, joined in
            _ = try await store.persist(events("a"), in: stream, by: joined.writer)
            return joined
        }
        try await connecting(cluster.configuration()) { _ = try $0.query("CREATE DATABASE made TEMPLATE lead") }
        try await withStore(at: cluster.configuration(database: "made")) { store in
            let writer = joined.writer
            await #expect(throws: TidemarkError.retired(stream: stream, writer: writer)) {
                _ = try await store.persist(events("b"), in: stream, by: writer)
            }
            await #expect(throws: TidemarkError.retired(stream: stream, writer: writer)) {
                _ = try await store.allocate(1, in: stream, for: writer)
            }
            await #expect(throws: TidemarkError.retired(stream: stream, writer: writer)) {
                _ = try await store.persist(events("b")[0], as: 2, in: stream, by: writer)
            }
        }
    }

    private func expectLoss(_ who: Comment, _ body: () async throws -> Void) async {
        let error = await #expect(throws: TidemarkError.self, who) { try await body() }
        guard case .acknowledgedEventsLost = error else {
            Issue.record("\(who): \(String(describing: error))")
            return
        }
    }

    @Test func `after the promotion of a standby that lost commits, readers say so and no ID comes again unseen`()
        async throws
    {
        let cluster = try await TestCluster(["fsync=off"])
        let first = try await cluster.newDatabase("lead")
        try await connecting(first) { _ = try $0.query("CREATE TABLE plain (id bigserial, name text)") }
        try await connecting(first) { _ = try $0.query("INSERT INTO plain (name) VALUES ('kept')") }
        try await withStore(at: first) { store in
            let writer = try await store.join(stream, as: "p0").writer
            _ = try await store.persist(events("kept"), in: stream, by: writer)
            try await store.leave(stream, as: writer)
        }
        let copy = try await Copy("standby", of: cluster)
        try await copy.start(isStandby: true)

        // As clients name both: whichever takes writes.
        let both = try PostgresConfiguration(
            "host=\(cluster.folder),\(cluster.folder) port=\(cluster.port),\(copy.port) dbname=lead user=postgres "
                + "target_session_attrs=read-write")
        try await withStore(at: both) { store in
            try await withLog(store, as: "p1") { log in
                // More than the sequence is logged ahead for: 40, as were lost where this was first seen.
                let lost = try await log.persist((0..<40).map { Event(id: "lost \($0)", type: "t") })
                try await connecting(first) { session in
                    _ = try session.query("INSERT INTO plain (name) SELECT 'lost' FROM generate_series(1, 40)")
                }
                let plainPosition = try await connecting(first) {
                    try $0.query("SELECT max(id) FROM plain").int64(0, 0)
                }
                let (ends, end) = AsyncStream.makeStream(of: StreamID.self)
                let reading = Task {
                    var passed: [StreamID] = []
                    defer { end.finish() }
                    do {
                        for try await batch in log.events() {
                            passed += batch.events.map(\.streamID)
                            if let last = passed.last { end.yield(last) }
                        }
                        return (passed, nil as (any Error)?)
                    } catch {
                        return (passed, error)
                    }
                }
                #expect(
                    try await log.waitUntilPersisted(lost[39], timeout: .seconds(20)) == .reached)
                // The reader has passed what will be lost.
                for await last in ends where last == lost[39] { break }
                try await cluster.run("pg_ctl", "-D", "d", "-m", "immediate", "-w", "stop")
                try await copy.promote()

                // The plain way: what is inserted now lies below where its reader is, and is never read.
                try await connecting(copy.configuration(database: "lead")) { session in
                    _ = try session.query("INSERT INTO plain (name) VALUES ('new')")
                }
                let unseen = try await connecting(copy.configuration(database: "lead")) { session in
                    try session.query(
                        "SELECT count(*) FROM plain WHERE name = 'new' AND id <= $1", [.int64(plainPosition)]
                    )
                    .int64(0, 0)
                }
                #expect(unseen == 1)

                // A reader that has passed what is gone ends with an error, and not in silence.
                let (passed, error) = await reading.value
                #expect(passed.last == lost[39])
                guard case .acknowledgedEventsLost = error as? TidemarkError else {
                    Issue.record("the reader ended with \(String(describing: error))")
                    return
                }
            }
        }
        // What was not lost is there, and a writer begins above what anybody can have seen in this life.
        try await withStore(at: copy.configuration(database: "lead")) { store in
            let joined = try await store.join(stream, as: "p1")
            #expect(joined.membership.members.count == 1)
            #expect(try await store.persist(events("kept"), in: stream, by: joined.writer) == [.alreadyPersisted(1)])
            #expect(try await store.all() == [1])
        }
        try await copy.stop()
    }

    @Test func `two clusters that were restored from one backup are two databases`() async throws {
        let cluster = try await TestCluster(["fsync=off"])
        let configuration = try await cluster.newDatabase("lead")
        let before = try await withWriter(at: configuration, "p1") { store, joined in
            _ = try await store.persist(events("a"), in: stream, by: joined.writer)
            let claim = try await store.claimConsumer("mailer", in: stream)
            let batch = try #require(try await store.batch())
            try await store.checkpoint(claim, at: 1, snapshot: batch.mark, delivered: nil, passed: batch.last)
            return joined
        }
        let copies = [try await Copy("one", of: cluster), try await Copy("two", of: cluster)]
        var lives: [(joined: Joined, last: Delivered, claim: ConsumerClaim, mark: SnapshotMark)] = []
        for (number, copy) in copies.enumerated() {
            try await copy.start(isStandby: false)
            let life = try await withWriter(at: copy.configuration(database: "lead"), "p1") { store, joined in
                // The writer that was a member when the backup was made cannot go on in either.
                await #expect(throws: TidemarkError.self) {
                    try await store.persist(events("x"), in: stream, by: before.writer)
                }
                _ = try await store.persist(events("new \(number)"), in: stream, by: joined.writer)
                let claim = try await store.claimConsumer("mailer", in: stream)
                let batch = try #require(try await store.batch())
                let last = try #require(batch.last)
                return (joined, last, claim, batch.mark)
            }
            lives.append(life)
        }
        // The plain way compares IDs and epochs: by these the two are one.
        #expect(lives[0].joined.writer == lives[1].joined.writer)
        #expect(lives[0].last.streamID == lives[1].last.streamID)
        #expect(lives[0].joined.position == lives[1].joined.position)

        #expect(lives[0].joined.membership.incarnation != lives[1].joined.membership.incarnation)
        #expect(lives[0].joined.membership.version != lives[1].joined.membership.version)
        #expect(lives[0].joined.nonce != lives[1].joined.nonce)
        #expect(lives[0].claim.generation != lives[1].claim.generation)
        try await withStore(at: copies[1].configuration(database: "lead")) { store in
            let found = try await store.snapshot(
                of: stream,
                SnapshotRequest(
                    delivered: lives[0].last, membershipVersion: lives[1].joined.membership.version,
                    after: lives[0].last.streamID, through: StreamID(.max), limit: 10, byteLimit: .max))
            #expect(found?.deliveredIsThere == false)
            // A checkpoint of a reader of the other one is refused.
            await #expect(throws: TidemarkError.self) {
                try await store.checkpoint(
                    lives[0].claim, at: lives[0].last.streamID, snapshot: lives[0].mark, delivered: nil,
                    passed: lives[0].last)
            }
            await #expect(throws: TidemarkError.self) {
                try await store.checkpoint(
                    lives[1].claim, at: lives[0].last.streamID, snapshot: lives[0].mark, delivered: nil,
                    passed: lives[0].last)
            }
            // And what one of them gave out is void in the other.
            let given = try await store.abandon(
                [lives[0].last.streamID], allocatedIn: lives[0].joined.membership.incarnation, in: stream,
                by: lives[1].joined.writer)
            #expect(given.void == [lives[0].last.streamID])
        }
        for copy in copies { try await copy.stop() }
    }

    /// Runs `body` with a store and a writer that has joined and does not leave.
    private func withWriter<Value>(
        at configuration: PostgresConfiguration, _ instance: InstanceName,
        _ body: (PostgreSQLEventStore, Joined) async throws -> Value
    ) async throws -> Value {
        let store = try await PostgreSQLEventStore.open(configuration)
        do {
            let value = try await body(store, try await store.join(stream, as: instance))
            await store.close()
            return value
        } catch {
            await store.close()
            throw error
        }
    }
}
