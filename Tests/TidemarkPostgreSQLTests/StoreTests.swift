import TestSupport
import Testing
import Tidemark

@testable import TidemarkPostgreSQL

@Suite(.enabled(if: TestCluster.isAvailable)) struct StoreTests {
    @Test func `what was persisted is read back, with its writer and mark`() async throws {
        try await withStore { store, _ in
            let joined = try await store.join(stream, as: "p1", nonce: 7)
            #expect(joined.membership.members == [joined.writer: 0])
            #expect(joined.nonce == 7)
            let event = Event(id: "a", type: "made", key: "k", payload: [0, 1, 255])
            let outcomes = try await store.persist([event], in: stream, by: joined.writer)
            #expect(outcomes == [.persisted(1)])
            let found = try #require(try await store.event(withID: "a", in: stream))
            #expect(found.event == event)
            #expect(found.instance == "p1")
            let batch = try #require(try await store.batch())
            #expect(batch.events == [found])
            #expect(batch.newestEvent == 1)
            #expect(batch.sequence == 1)
            #expect(batch.membership.incarnation == joined.membership.incarnation)
        }
    }

    @Test func `an event that is there already keeps its ID, and the loser's gets a tombstone that is told`()
        async throws
    {
        try await withStore { store, _ in
            let writer = try await store.join(stream, as: "p1").writer
            _ = try await store.persist(events("a"), in: stream, by: writer)
            let group = try await store.persist(EventGroup(events("b", "a", "b"), in: stream, by: writer))
            #expect(group.outcomes == [.persisted(2), .alreadyPersisted(1), .alreadyPersisted(2)])
            #expect(group.tombstones == [3, 4])
            #expect(try await store.finished() == [1...4])
        }
    }

    @Test func `streams of one database have sequences of their own`() async throws {
        try await withStore { store, _ in
            for name: StreamName in ["first", "second", "third"] {
                let writer = try await store.join(name, as: "p1").writer
                #expect(try await store.join(name, as: "p2").membership.members.count == 2)
                #expect(try await store.persist(events("a", "b"), in: name, by: writer).map(\.streamID) == [1, 2])
                _ = try await store.claimConsumer("mailer", in: name)
            }
            #expect(try await store.streams(limit: 10) == ["first", "second", "third"])
        }
    }

    @Test func `a join that is repeated with its nonce changes nothing, and another one takes the name`() async throws {
        try await withStore { store, _ in
            let first = try await store.join(stream, as: "p1", nonce: 7)
            #expect(try await store.join(stream, as: "p1", nonce: 7) == first)
            let second = try await store.join(stream, as: "p1", nonce: 8)
            #expect(second.writer.epoch == first.writer.epoch + 1)
            #expect(second.membership.version > first.membership.version)
            await #expect(
                throws: TidemarkError.instanceTaken(stream: stream, writer: first.writer, by: second.writer)
            ) { try await store.persist(events("a"), in: stream, by: first.writer) }
            await #expect(
                throws: TidemarkError.instanceTaken(stream: stream, writer: first.writer, by: second.writer)
            ) { try await store.rejoin(stream, after: first.writer, nonce: 9) }
            #expect(try await store.beat(first.writer, at: 0) == .taken(by: second.writer))
        }
    }

    @Test func `a writer that was retired hears so, and joins again`() async throws {
        try await withStore { store, _ in
            let writer = try await store.join(stream, as: "p1").writer
            try await store.retire(stream, instance: "p1")
            await #expect(throws: TidemarkError.retired(stream: stream, writer: writer)) {
                try await store.persist(events("a"), in: stream, by: writer)
            }
            #expect(try await store.beat(writer, at: 0) == .retired)
            let again = try await store.rejoin(stream, after: writer, nonce: 5)
            #expect(again.writer.epoch == writer.epoch + 2)
            try await store.leave(stream, as: again.writer)
            try await store.leave(stream, as: again.writer)
            #expect(try await store.forget(stream, instance: "p1"))
            #expect(try await store.join(stream, as: "p1").writer.epoch > again.writer.epoch)
        }
    }

    @Test func `an ID that was closed or abandoned takes no event`() async throws {
        try await withStore { store, _ in
            let writer = try await store.join(stream, as: "p1").writer
            let ids = try await store.allocate(3, in: stream, for: writer)
            #expect(ids == [1, 2, 3])
            #expect(try await store.persist(events("a")[0], as: 2, in: stream, by: writer) == .persisted(2))
            #expect(try await store.abandon([1, 2], in: stream, by: writer) == [2])
            await #expect(throws: TidemarkError.closed(stream: stream, instance: "p1", id: 1)) {
                try await store.persist(events("b")[0], as: 1, in: stream, by: writer)
            }
            #expect(try await store.closeWriter(stream, instance: "p1") == 3)
            await #expect(throws: TidemarkError.closed(stream: stream, instance: "p1", id: 3)) {
                try await store.persist(events("b")[0], as: 3, in: stream, by: writer)
            }
            #expect(try await store.beat(writer, at: 0) == .alive(newestCommitted: 2, durablePosition: 3))
            #expect(try await store.abandon([3], in: stream, by: writer).isEmpty)
            #expect(try await store.finished() == [1...3])
            await #expect(
                throws: TidemarkError.databaseWentBackwards(
                    stream: stream, id: 4, problem: "the sequence has handed out no ID above 3")
            ) { try await store.abandon([4], in: stream, by: writer) }
        }
    }

    @Test func `a batch ends at its limits, and says so`() async throws {
        try await withStore { store, _ in
            let writer = try await store.join(stream, as: "p1").writer
            let all = (0..<10).map { Event(id: "e\($0)", type: "t", payload: [UInt8](repeating: 7, count: 100)) }
            _ = try await store.persist(all, in: stream, by: writer)
            let byCount = try #require(try await store.batch(limit: 4))
            #expect(byCount.events.count == 4 && byCount.isTruncated)
            let byBytes = try #require(try await store.batch(after: 2, byteLimit: 300))
            #expect(byBytes.events.map(\.streamID) == [3, 4, 5] && byBytes.isTruncated)
            let oneByte = try #require(try await store.batch(byteLimit: 1))
            #expect(oneByte.events.count == 1 && oneByte.isTruncated)
            let whole = try #require(try await store.batch(after: 5, limit: 5, byteLimit: 500))
            #expect(whole.events.count == 5 && !whole.isTruncated)
            #expect(try await store.batch(through: 3)?.events.count == 3)
            try await store.leave(stream, as: writer)
            #expect(try await store.batch(through: 3)?.events.count == 10)
        }
    }

    @Test func `a consumer keeps its place, and is audited`() async throws {
        try await withStore { store, configuration in
            let writer = try await store.join(stream, as: "p1").writer
            _ = try await store.persist(events("a", "b", "c"), in: stream, by: writer)
            let claim = try await store.claimConsumer("mailer", in: stream, takingOver: true, key: 5)
            #expect(try await store.claimConsumer("mailer", in: stream, takingOver: false, key: 5) == claim)
            await #expect(throws: TidemarkError.self) {
                try await store.claimConsumer("mailer", in: stream, takingOver: false, key: 6)
            }
            let batch = try #require(try await store.batch())
            var delivered = DeliveredSum()
            for event in batch.events { delivered.add(event.streamID, mark: event.mark) }
            try await store.checkpoint(claim, at: 3, snapshot: batch.mark, delivered: delivered, passed: batch.last)
            let audit = try await store.audit(stream, consumer: "mailer", limit: 10)
            #expect(audit.isComplete && audit.events == 3)
            let status = try #require(try await store.status(of: stream))
            #expect(status.consumers.map(\.position) == [3])
            #expect(status.consumers[0].isInUse)
            #expect(status.minimumPersisted == 3)
            // An event that is committed below the checkpoint by hand shows.
            try await connecting(configuration) { session in
                _ = try session.query(
                    "UPDATE tidemark.events SET transaction = pg_current_xact_id() WHERE stream_id = 2")
            }
            let second = try await store.audit(stream, consumer: "mailer", limit: 10)
            #expect(second.findings.map(\.kind) == [.skipped])
            let newer = try await store.claimConsumer("mailer", in: stream, takingOver: true)
            #expect(newer.position == 3 && newer.delivered == delivered)
            await #expect(throws: TidemarkError.consumerTaken(stream: stream, consumer: "mailer")) {
                try await store.checkpoint(claim, at: 3, snapshot: batch.mark)
            }
            await #expect(throws: TidemarkError.notReached(stream: stream, id: 9, highest: 3)) {
                try await store.moveConsumer("mailer", in: stream, to: .after(9))
            }
            #expect(try await store.moveConsumer("mailer", in: stream, to: .beginning) == 0)
            await #expect(throws: TidemarkError.consumerTaken(stream: stream, consumer: "mailer")) {
                try await store.verify(newer)
            }
            await #expect(
                throws: TidemarkError.unknownConsumer(stream: stream, consumer: "other", known: ["mailer"])
            ) { try await store.audit(stream, consumer: "other", limit: 1) }
        }
    }

    @Test func `a process that has gone is seen to be gone, and its writer is closed`() async throws {
        try await withStore { store, configuration in
            let other = try await PostgreSQLEventStore.open(configuration)
            let writer = try await other.join(stream, as: "p1").writer
            let mine = try await store.join(stream, as: "p2").writer
            _ = try await store.persist(events("a"), in: stream, by: mine)
            func observation() async throws -> WriterObservation? {
                try await store.reconciliation(of: stream, above: 0, limit: 1)?.observations.first {
                    $0.writer == writer
                }
            }
            #expect(try await observation()?.isProcessGone == false)
            #expect(
                try await store.closeWriter(
                    stream,
                    observed: WriterObservation(
                        writer: writer, heartbeat: 0, position: 0, isProcessGone: true)) == nil)
            await other.close()
            try await eventually { try await observation()?.isProcessGone == true }
            let seen = try #require(try await observation())
            #expect(try await store.closeWriter(stream, observed: seen) == 1)
            #expect(try await store.closeWriter(stream, observed: seen) == nil)
            let again = try #require(try await observation())
            #expect(try await store.retire(stream, observed: again))
        }
    }

    @Test func `events of several writers at the same time all get their places`() async throws {
        try await withStore { store, _ in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<4 {
                    let writer = try await store.join(stream, as: InstanceName(validating: "w\(number)")).writer
                    group.addTask {
                        for round in 0..<20 {
                            // The same ids from all of them, in opposite orders.
                            var all = (0..<10).map { Event(id: "\(round)-\($0)", type: "t") }
                            if number % 2 == 1 { all.reverse() }
                            _ = try await store.persist(all, in: stream, by: writer)
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await store.all().count == 200)
            #expect(try await store.finished() == [1...800])
        }
    }

    @Test func `large events come in batches of their own, by bytes, and all of them in order`() async throws {
        try await withStore { store, _ in
            let writer = try await store.join(stream, as: "p1").writer
            // With 8 in 80 bytes, each may have 10 to come along without being summed up.
            let sizes = [0, 10, 10, 11, 500, 5, 40, 39, 2, 10, 10, 10, 10, 10, 10, 10, 10, 1]
            let all = sizes.enumerated().map { number, size in
                Event(id: "e\(number)", type: "sized", payload: [UInt8](repeating: 7, count: size))
            }
            _ = try await store.persist(all, in: stream, by: writer)
            var read: [Event] = []
            var raw: [String] = []
            var position: StreamID = 0
            while let batch = try await store.batch(after: position, limit: 8, byteLimit: 80), !batch.events.isEmpty {
                #expect(batch.events.count <= 8)
                // Only the last of a batch may go beyond the limit.
                #expect(batch.events.dropLast().reduce(0) { $0 + $1.event.payload.count } < 80)
                let request = SnapshotRequest(
                    delivered: nil, membershipVersion: batch.membership.version, after: position,
                    through: StreamID(.max), limit: 8, byteLimit: 80)
                let shown = try await store.rawSnapshot(
                    of: stream, request, into: [String](), accepting: { _ in true }
                ) { ids, event in
                    #expect(event.payload.count == 0 || event.payload[0] == 7)
                    ids.append(event.id.withUnsafeBufferPointer { String(decoding: $0, as: UTF8.self) })
                }
                #expect(shown?.last == batch.last)
                #expect(shown?.snapshot.isTruncated == batch.isTruncated)
                raw += shown?.result ?? []
                read += batch.events.map(\.event)
                position = batch.events.last?.streamID ?? position
                #expect(batch.isTruncated == (read.count < all.count))
            }
            #expect(read == all)
            #expect(raw == all.map(\.id))
        }
    }
}
