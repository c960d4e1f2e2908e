import Foundation
import Synchronization
import TestSupport
import Testing
import Tidemark
import TidemarkPostgreSQL
import TidemarkSQLite
import TidemarkTesting

/// The stream that is moved.
let stream: StreamName = "events"

/// A server that all tests here share, each with a database of its own.
private enum Server {
    private static let shared = Mutex<Task<PostgresServerProcess, any Error>?>(nil)

    static func newStore() async throws -> PostgreSQLEventStore {
        let task = shared.withLock { task in
            let begun = task ?? Task { try await PostgresServerProcess(["fsync=off"]) }
            task = begun
            return begun
        }
        return try await PostgreSQLEventStore.open(PostgresConfiguration(task.value.newDatabase()))
    }
}

/// What was acknowledged, by the ids of the events.
private final class Acknowledged: Sendable {
    let ids = Mutex<[String: StreamID]>([:])
}

/// How often something may still happen.
private final class Countdown: Sendable {
    private let remaining: Mutex<Int>

    init(_ count: Int) { remaining = Mutex(count) }

    /// Whether this was the last time.
    func step() -> Bool {
        remaining.withLock { remaining in
            remaining -= 1
            return remaining == 0
        }
    }
}

/// Which way a stream goes.
enum Way: CaseIterable, Sendable {
    case toPostgreSQL, toSQLite
}

@Suite(.enabled(if: PostgresServerProcess.isInstalled)) struct StreamMoveTests {
    func withStores(
        _ way: Way, _ body: (_ source: any MovableStore, _ destination: any MovableStore) async throws -> Void
    ) async throws {
        let folder = try TemporaryFolder()
        let file = try await SQLiteEventStore.open(path: folder.database)
        let server = try await Server.newStore()
        var failure: (any Error)?
        do {
            try await way == .toPostgreSQL ? body(file, server) : body(server, file)
        } catch {
            failure = error
        }
        await server.close()
        if let failure { throw failure }
    }

    /// Events of three writers, an ID with a tombstone, one that was only handed out, and consumers.
    func fill(_ store: any MovableStore, count: Int = 40) async throws {
        let first = try await store.join(stream, as: "p1").writer
        let second = try await store.join(stream, as: "p2").writer
        let third = try await store.join(stream, as: "p3").writer
        for number in 0..<count {
            _ = try await store.persist(
                [
                    Event(
                        id: "ü\(number)", type: "noted", key: number % 3 == 0 ? nil : "k\(number % 5)",
                        payload: [0, 255, 7])
                ],
                in: stream, by: number % 2 == 0 ? first : second)
            if number == count / 2 {
                let ids = try await store.allocate(2, in: stream, for: third)
                _ = try await store.abandon([ids[0]], in: stream, by: third)
            }
        }
        try await store.leave(stream, as: third)
        try await consume(store, "whole", through: StreamID(.max))
        try await consume(store, "half", through: StreamID(Int64(count / 2)))
        _ = try await store.claimConsumer("none", in: stream)
        // The last IDs of the sequence have no row, and were seen by whoever had them.
        _ = try await store.allocate(5, in: stream, for: second)
    }

    func consume(_ store: any MovableStore, _ name: ConsumerName, through: StreamID) async throws {
        let claim = try await store.claimConsumer(name, in: stream)
        let version = try #require(try await store.reconciliation(of: stream, above: 0, limit: 0)).membership.version
        let batch = try #require(
            try await store.snapshot(
                of: stream,
                SnapshotRequest(
                    delivered: nil, membershipVersion: version, after: 0, through: through, limit: 1_000,
                    byteLimit: .max)))
        var sum = DeliveredSum()
        for event in batch.events { sum.add(event.streamID, mark: event.mark) }
        let last = try #require(batch.last)
        try await store.checkpoint(claim, at: last.streamID, snapshot: batch.mark, delivered: sum, passed: last)
    }

    func rows(_ store: any MovableStore) async throws -> [MovedRow] {
        try await store.movedRows(of: stream, after: 0, limit: .max >> 32, byteLimit: .max)
    }

    func content(_ rows: [MovedRow]) -> [String] {
        rows.map { "\($0.streamID) \($0.content) \($0.instance) \($0.persistedAtMilliseconds)" }
    }

    @Test(arguments: Way.allCases)
    func `a stream arrives whole, and the old address says where it went`(_ way: Way) async throws {
        try await withStores(way) { source, destination in
            try await fill(source)
            let before = try #require(try await source.movedStream(stream))
            let move = StreamMove(stream, from: source, to: destination)
            let report = try await move.run()
            #expect(report.events == 40 && report.tombstones == 1 && report.consumers == 3)
            #expect(report.resumedAfter == nil && !report.wasDone)
            #expect(try await content(rows(source)) == content(rows(destination)))

            let after = try #require(try await destination.movedStream(stream))
            #expect(after.sequence >= before.sequence && after.arrivingFrom == nil)
            #expect(after.membershipVersion > before.membershipVersion)
            #expect(after.epochs["p1"] ?? 0 > before.epochs["p1"] ?? 0)
            #expect(after.consumers.map(\.position) == before.consumers.map(\.position))

            // Who goes on there is above all that was ever visible, in a newer epoch; events keep their IDs.
            let joined = try await destination.join(stream, as: "p1")
            #expect(joined.writer.epoch > before.epochs["p1"] ?? 0)
            #expect(
                try await destination.persist([Event(id: "ü3", type: "noted")], in: stream, by: joined.writer).first
                    == .alreadyPersisted(rows(source)[3].streamID))
            let next = try await destination.persist([Event(id: "new", type: "noted")], in: stream, by: joined.writer)
            #expect(next[0].streamID > before.sequence)
            for name: ConsumerName in ["whole", "half"] {
                let audit = try await destination.audit(stream, consumer: name, limit: 10)
                #expect(audit.isComplete, "\(audit)")
                let claim = try await destination.claimConsumer(name, in: stream)
                #expect(claim.delivered != nil && claim.passed != nil)
            }

            let moved = TidemarkError.streamMoved(
                stream: stream, store: source.description, to: destination.description)
            await #expect(throws: moved) { try await source.join(stream, as: "p9") }
            await #expect(throws: moved) { try await source.claimConsumer("whole", in: stream) }
            await #expect(throws: moved) { try await source.reconciliation(of: stream, above: 0, limit: 1) }
            await #expect(throws: moved) { try await source.status(of: stream) }
            await #expect(throws: moved) {
                try await source.abandon(
                    [before.sequence], in: stream, by: Writer("p2", epoch: before.epochs["p2"] ?? 0))
            }
            #expect(try await move.run().wasDone)
            await #expect(throws: TidemarkError.self) { try await move.cancel() }
        }
    }

    @Test(arguments: Way.allCases)
    func `the index of keys arrives with the stream, and one that is being built arrives complete`(_ way: Way)
        async throws
    {
        for isBuilding in [false, true] {
            try await withStores(way) { source, destination in
                let here = try #require(source as? any KeyIndexStore)
                let there = try #require(destination as? any KeyIndexStore)
                if !isBuilding { #expect(try await here.makeKeyIndex(of: stream) == .complete) }
                try await fill(source)
                if isBuilding { #expect(try await here.buildKeyIndex(of: stream, limit: 3) != .complete) }
                var move = StreamMove(stream, from: source, to: destination)
                move.batchRows = 7
                _ = try await move.run()
                #expect(try await there.keyIndex(of: stream) == .complete)
                let expected = (0..<40).filter { $0 % 3 != 0 && $0 % 5 == 1 }.map { "ü\($0)" }
                let found = try await there.events(ofKey: "k1", in: stream, after: 0, limit: 100, byteLimit: .max)
                #expect(found.map(\.event.id) == expected)
                // And back, where it had been: nothing of what was there is left.
                _ = try await StreamMove(stream, from: destination, to: source).run()
                #expect(
                    try await here.events(ofKey: "k1", in: stream, after: 0, limit: 100, byteLimit: .max).map(
                        \.streamID)
                        == found.map(\.streamID))
                let writer = try await source.join(stream, as: "p1").writer
                let call = EventGroup.Call(
                    events: 1, condition: KeyCondition(key: "k1", expected: found.last?.streamID))
                let event = Event(id: "next", type: "noted", key: "k1")
                #expect(
                    try await source.persist(EventGroup([event], in: stream, by: writer, calls: [call])).refusals
                        .isEmpty)
            }
        }
    }

    @Test(arguments: Way.allCases)
    func `metadata, filters and starts arrive with the stream, and its consumers' pasts are still whole`(
        _ way: Way
    ) async throws {
        try await withStores(way) { source, destination in
            let writer = try await source.join(stream, as: "p1").writer
            let events = (0..<6).map {
                Event(id: "\($0)", type: $0 % 2 == 0 ? "even" : "odd", metadata: $0 == 1 ? [:] : ["cause": "\($0)"])
            }
            _ = try await source.persist(events, in: stream, by: writer)
            try await source.leave(stream, as: writer)
            var request = ConsumerRequest(stream: stream, consumer: "some")
            request.start = .after(1)
            request.filter = .types(["even"])
            let claim = try await source.claimConsumer(request)
            let version = try #require(try await source.reconciliation(of: stream, above: 0, limit: 0)).membership
                .version
            let batch = try #require(
                try await source.snapshot(
                    of: stream,
                    SnapshotRequest(
                        delivered: nil, membershipVersion: version, after: 1, through: 6, limit: 9, byteLimit: .max,
                        filter: claim.filter)))
            var sum = DeliveredSum()
            for event in batch.events { sum.add(event.streamID, mark: event.mark) }
            #expect(sum.count == 2)
            try await source.checkpoint(claim, at: 6, snapshot: batch.mark, delivered: sum, passed: batch.passed)
            _ = try await StreamMove(stream, from: source, to: destination).run()

            let found = try await rows(destination).map(\.content)
            #expect(found == events.map { .event($0) })
            let status = try #require(try await destination.status(of: stream)?.consumers.first)
            #expect(status.filter == .types(["even"]) && status.start == 1 && status.position == 6)
            let audit = try await destination.audit(stream, consumer: "some", limit: 10)
            #expect(audit.isComplete && audit.events == 2, "\(audit)")
            let moved = TidemarkError.streamMoved(
                stream: stream, store: source.description, to: destination.description)
            await #expect(throws: moved) { try await source.changeFilter(of: "some", in: stream, to: .all) }
            await #expect(throws: moved) { try await source.deleteConsumer("some", in: stream, takingOver: true) }
            await #expect(throws: moved) { try await source.position(of: "some", in: stream, passing: 1) }
        }
    }

    @Test(arguments: Way.allCases)
    func `a stream goes there and comes back, with what was written there`(_ way: Way) async throws {
        try await withStores(way) { source, destination in
            try await fill(source)
            _ = try await StreamMove(stream, from: source, to: destination).run()
            let writer = try await destination.join(stream, as: "p4").writer
            _ = try await destination.persist([Event(id: "there", type: "noted")], in: stream, by: writer)
            let before = try await content(rows(destination))
            let report = try await StreamMove(stream, from: destination, to: source).run()
            #expect(report.events == 41)
            #expect(try await content(rows(source)) == before)
            for name: ConsumerName in ["whole", "half"] {
                #expect(try await source.audit(stream, consumer: name, limit: 10).isComplete)
            }
            let again = try await source.join(stream, as: "p4").writer
            #expect(again.epoch > writer.epoch)
            let id = try await source.persist([Event(id: "here", type: "noted")], in: stream, by: again)[0].streamID
            #expect(id > report.sequence)
            await #expect(throws: TidemarkError.self) { try await destination.join(stream, as: "p4") }
        }
    }

    @Test(arguments: Way.allCases)
    func `a move that is stopped at any place is taken up again`(_ way: Way) async throws {
        try await withStores(way) { source, destination in
            try await fill(source)
            var move = StreamMove(stream, from: source, to: destination)
            move.batchRows = 7
            let ready = move
            var stops = 0
            var resumed: [StreamID] = []
            while true {
                // Each run is stopped at its next place but the ones before it.
                let countdown = Countdown(stops + 1)
                let running = Task {
                    try await ready.run { _ in
                        if countdown.step() { withUnsafeCurrentTask { $0?.cancel() } }
                    }
                }
                do {
                    let report = try await running.value
                    if let place = report.resumedAfter { resumed.append(place) }
                    #expect(report.events == 40)
                    break
                } catch is CancellationError {
                    stops += 1
                    guard stops < 100 else { throw TookTooLong("the move does not come to its end") }
                }
            }
            #expect(stops > 5)
            #expect(resumed.first ?? 0 > 7)
            #expect(try await content(rows(source)) == content(rows(destination)))
        }
    }

    @Test(arguments: Way.allCases)
    func `writers that go on meanwhile lose nothing, and hear where the stream went`(_ way: Way) async throws {
        try await withStores(way) { source, destination in
            let acknowledged = Acknowledged()
            let logs = [
                try await EventLog.open(source, stream: stream, instance: "p1"),
                try await EventLog.open(source, stream: stream, instance: "p2"),
            ]
            let reader = try await EventLog.open(source, stream: stream)
            let services = (logs + [reader]).map { log in Task { try await log.run() } }
            let writing = logs.map { log in
                Task { () -> (any Error)? in
                    var number = 0
                    while true {
                        number += 1
                        let id = "\(log.instance)-\(number)"
                        do {
                            let place = try await log.persist(Event(id: id, type: "noted"))
                            acknowledged.ids.withLock { $0[id] = place }
                        } catch let error as TidemarkError where error.kind == .tryAgain {
                            continue
                        } catch {
                            return error
                        }
                    }
                }
            }
            let reading = Task { () -> (any Error)? in
                do {
                    for try await _ in reader.events() {}
                    return nil
                } catch {
                    return error
                }
            }
            try await eventually("they write") { acknowledged.ids.withLock { $0.count } > 200 }
            var move = StreamMove(stream, from: source, to: destination)
            move.batchRows = 50
            _ = try await move.run()
            let moved = TidemarkError.streamMoved(
                stream: stream, store: source.description, to: destination.description)
            for task in writing { #expect(await task.value as? TidemarkError == moved) }
            #expect(await reading.value as? TidemarkError == moved)
            let there = try await rows(destination).reduce(into: [String: StreamID]()) { found, row in
                if case .event(let event) = row.content { found[event.id] = row.streamID }
            }
            for (id, place) in acknowledged.ids.withLock({ $0 }) { #expect(there[id] == place) }
            for service in services { service.cancel() }
            for log in logs + [reader] { await log.shutDown() }
        }
    }

    @Test(arguments: Way.allCases)
    func `until it has arrived nobody may use it there, and a move is taken back`(_ way: Way) async throws {
        try await withStores(way) { source, destination in
            try await fill(source)
            let move = StreamMove(stream, from: source, to: destination)
            let stopped = Task { try await move.run { if $0 == .changed { withUnsafeCurrentTask { $0?.cancel() } } } }
            await #expect(throws: CancellationError.self) { try await stopped.value }
            let arriving = TidemarkError.streamArriving(
                stream: stream, store: destination.description, from: source.description)
            await #expect(throws: arriving) { try await destination.join(stream, as: "p1") }
            await #expect(throws: arriving) { try await destination.claimConsumer("whole", in: stream) }
            await #expect(throws: arriving) { try await destination.reconciliation(of: stream, above: 0, limit: 1) }
            await #expect(throws: TidemarkError.self) { try await source.join(stream, as: "p1") }

            try await move.cancel()
            try await move.cancel()
            #expect(try await destination.movedStream(stream) == nil)
            let writer = try await source.join(stream, as: "p1").writer
            _ = try await source.persist([Event(id: "after all", type: "noted")], in: stream, by: writer)
            #expect(try await source.audit(stream, consumer: "whole", limit: 10).isComplete)
            #expect(try await move.run().events == 41)
        }
    }

    @Test(arguments: Way.allCases)
    func `a stream is not moved onto another one, and not to two places`(_ way: Way) async throws {
        try await withStores(way) { source, destination in
            try await fill(source)
            _ = try await destination.join(stream, as: "p1")
            await #expect(throws: TidemarkError.streamExists(stream: stream, store: destination.description)) {
                try await StreamMove(stream, from: source, to: destination).run()
            }
            // It is as it was.
            _ = try await source.join(stream, as: "p1")
            await #expect(throws: TidemarkError.unknownStream(stream: "other", store: source.description)) {
                try await StreamMove("other", from: source, to: destination).run()
            }
            let folder = try TemporaryFolder()
            let third = try await SQLiteEventStore.open(path: folder.database)
            _ = try await StreamMove(stream, from: source, to: third).run()
            await #expect(
                throws: TidemarkError.streamMoved(stream: stream, store: source.description, to: third.description)
            ) { try await StreamMove(stream, from: source, to: destination).run() }
        }
    }

    @Test func `a past that was not complete is not complete there either`() async throws {
        for way in Way.allCases {
            try await withStores(way) { source, destination in
                try await fill(source)
                let claim = try await source.claimConsumer("half", in: stream)
                // Told that it was given one event fewer than there are.
                let wrong = try #require(claim.delivered)
                let batch = try #require(try await source.reconciliation(of: stream, above: 0, limit: 1))
                let version = batch.membership.version
                let snapshot = try #require(
                    try await source.snapshot(
                        of: stream,
                        SnapshotRequest(
                            delivered: nil, membershipVersion: version, after: 0, through: 30, limit: 100,
                            byteLimit: .max)))
                try await source.checkpoint(
                    claim, at: 30, snapshot: snapshot.mark,
                    delivered: DeliveredSum(count: wrong.count + 3, sum: wrong.sum &+ 5), passed: snapshot.last)
                #expect(try await source.audit(stream, consumer: "half", limit: 10).isComplete == false)
                _ = try await StreamMove(stream, from: source, to: destination).run()
                #expect(try await destination.audit(stream, consumer: "half", limit: 10).isComplete == false)
                #expect(try await destination.audit(stream, consumer: "whole", limit: 10).isComplete)
            }
        }
    }

    @Test func `what PostgreSQL cannot keep is named, and the stream stays where it is`() async throws {
        try await withStores(.toPostgreSQL) { source, destination in
            let writer = try await source.join(stream, as: "p1").writer
            _ = try await source.persist([Event(id: "a\0b", type: "noted")], in: stream, by: writer)
            let move = StreamMove(stream, from: source, to: destination)
            let error = await #expect(throws: TidemarkError.self) { try await move.run() }
            guard case .invalidEvent = error else {
                Issue.record("\(String(describing: error))")
                return
            }
            try await move.cancel()
            _ = try await source.join(stream, as: "p1")
        }
    }
}
