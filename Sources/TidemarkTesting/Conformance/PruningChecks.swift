#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif
import Tidemark

extension ConformanceStores {
    fileprivate func prunable() throws -> any PrunableStore {
        guard let store = store as? any PrunableStore else {
            throw ConformanceFailure(description: "the store does not conform to PrunableStore")
        }
        return store
    }

    @discardableResult
    fileprivate func prune(
        through id: StreamID, ignoring: Set<ConsumerName> = [], forgettingIDs: Bool = false
    ) async throws -> PruneResult {
        try await prunable().prune(stream, .through(id), ignoring: ignoring, forgettingIDs: forgettingIDs)
    }

    fileprivate func pruned() async throws -> PrunedPrefix {
        guard let pruned = try await prunable().pruned(of: stream) else {
            throw ConformanceFailure(description: "the stream is not there")
        }
        return pruned
    }

    /// Events with keys of their own, all finished.
    @discardableResult
    fileprivate func persisted(_ ids: String, by writer: Writer) async throws -> [PersistedEvent] {
        let before = try await reconcile(limit: 0).sequence
        try await persist(
            ids.map { Event(id: "\($0)", type: $0.isUppercase ? "even" : "odd", key: "k\($0)", payload: [1, 2]) },
            writer)
        _ = try await beat(writer, at: try await reconcile(limit: 0).sequence)
        return try await snapshot(after: before).events
    }

    fileprivate func request(_ name: ConsumerName, from start: ConsumerStart) -> ConsumerRequest {
        var request = ConsumerRequest(stream: stream, consumer: name)
        request.start = start
        return request
    }

    fileprivate func expectPruned(
        after position: StreamID, through end: StreamID, line: UInt = #line, _ body: () async throws -> Void
    ) async throws {
        try await requireThrows(.pruned(stream: stream, after: position, through: end), line: line, body)
    }

    /// Reads as the consumer does, from its place, and checkpoints at the end.
    fileprivate func read(_ claim: ConsumerClaim, through end: StreamID, leavingOut: StreamID? = nil) async throws {
        let version = try await reconcile(limit: 0).membership.version
        let request = SnapshotRequest(
            delivered: nil, claim: ClaimMark(consumer: claim.name, generation: claim.generation),
            membershipVersion: version, after: claim.position, through: end, limit: 1_000, byteLimit: .max,
            filter: claim.filter, furthest: end)
        guard let snapshot = try await store.snapshot(of: stream, request) else { return }
        var sum = claim.delivered
        for event in snapshot.events where event.streamID != leavingOut { sum?.add(event.streamID, mark: event.mark) }
        try await store.checkpoint(claim, at: end, snapshot: snapshot.mark, delivered: sum, passed: snapshot.passed)
    }
}

extension StoreConformance {
    /// What a store does that conforms to `PrunableStore`; they are among ``checks``.
    public static var pruningChecks: [StoreCheck] {
        // A store need not prune.
        (removalChecks + prunedPlaceChecks).map { check in
            StoreCheck(check.description, needs: check.need) { stores in
                if stores.store is any PrunableStore { try await check.body(stores) }
            }
        }
    }

    private static let removalChecks: [StoreCheck] = [
        StoreCheck("the beginning of a stream is removed, and what follows is as it was") { stores in
            let writer = try await stores.join("p1").writer
            let events = try await stores.persisted("abcde", by: writer)
            let result = try await stores.prune(through: 3)
            try require(result.events, is: 3)
            try require(result.through, is: 3)
            try require(try await stores.snapshot(after: 3).events, is: Array(events[3...]))
            try require(try await stores.prune(through: 3).events, is: 0)
            try require(try await stores.prune(through: 1).through, is: 3)
            let pruned = try await stores.pruned()
            try require(pruned.through, is: 3)
            try require(pruned.events.count, is: 3)
            try require(pruned.last, is: Delivered(streamID: 3, mark: events[2].mark))
            try await stores.expectPruned(after: 1, through: 3) {
                _ = try await stores.store.event(withID: "b", in: stores.stream)
            }
        },
        StoreCheck("no more is removed than each consumer has passed, and it is named") { stores in
            let writer = try await stores.join("p1").writer
            try await stores.persisted("abcde", by: writer)
            _ = try await stores.store.claimConsumer(stores.request("mailer", from: .after(2)))
            _ = try await stores.store.claimConsumer(stores.request("search", from: .after(4)))
            let held = TidemarkError.pruneHeldBack(stream: stores.stream, id: 3, by: .consumer("mailer"), at: 2)
            try await requireThrows(held) { _ = try await stores.prune(through: 3) }
            try require(try await stores.pruned().through, is: 0)
            try require(try await stores.prune(through: 2).events, is: 2)
            let other = TidemarkError.pruneHeldBack(stream: stores.stream, id: 5, by: .consumer("search"), at: 4)
            try await requireThrows(other) { _ = try await stores.prune(through: 5, ignoring: ["mailer"]) }
            try require(try await stores.pruned().through, is: 2)
            try await requireThrows(
                .unknownConsumer(stream: stores.stream, consumer: "maler", known: ["mailer", "search"])
            ) { _ = try await stores.prune(through: 3, ignoring: ["maler"]) }
        },
        // p1 holds 4 while p2 is further: readers wait at 3, and nothing above it may go.
        StoreCheck("no more is removed than each writer has promised") { stores in
            let first = try await stores.join("p1").writer
            let second = try await stores.join("p2").writer
            try await stores.persisted("abc", by: first)
            _ = try await stores.beat(second, at: 3)
            let id = try await stores.store.allocate(1, in: stores.stream, for: first)[0]
            try await stores.persist(stores.events("e", "f"), second)
            _ = try await stores.beat(second, at: 6)
            let held = TidemarkError.pruneHeldBack(stream: stores.stream, id: 4, by: .writer(first), at: 3)
            try await requireThrows(held) { _ = try await stores.prune(through: 4) }
            try require(try await stores.prune(through: 3).events, is: 3)
            _ = try await stores.store.persist(stores.events("d")[0], as: id, in: stores.stream, by: first)
            try require(try await stores.snapshot(after: 3).events.map(\.event.id), is: ["d", "e", "f"])
        },
        StoreCheck("no more is removed than a stream has, nor of one that is not there") { stores in
            try await requireThrows("unknownStream", where: { if case .unknownStream = $0 { true } else { false } }) {
                _ = try await stores.prune(through: 1)
            }
            let writer = try await stores.join("p1").writer
            try await stores.persisted("ab", by: writer)
            let held = TidemarkError.pruneHeldBack(stream: stores.stream, id: 3, by: .end, at: 2)
            try await requireThrows(held) { _ = try await stores.prune(through: 3) }
            try await stores.store.leave(stores.stream, as: writer)
            try await requireThrows(held) { _ = try await stores.prune(through: 3) }
            try require(try await stores.prune(through: 2).events, is: 2)
        },
        StoreCheck("it goes in small transactions, each with all that belongs to it") { stores in
            let writer = try await stores.join("p1").writer
            try await stores.persisted("abcdef", by: writer)
            var request = PruneRequest(stream: stores.stream, through: 5)
            request.limit = 2
            let store = try stores.prunable()
            try require(try await store.prune(request), is: PruneStep(events: 2, through: 2, isDone: false))
            try require(try await stores.pruned().last?.streamID, is: 2)
            try await stores.expectPruned(after: 1, through: 2) { _ = try await stores.snapshot(after: 1) }
            try require(try await stores.snapshot(after: 2).events.count, is: 4)
            // Who comes to a lower place meanwhile stops it.
            _ = try await stores.store.claimConsumer(stores.request("mailer", from: .after(3)))
            try await requireThrows(
                .pruneHeldBack(stream: stores.stream, id: 5, by: .consumer("mailer"), at: 3)
            ) { _ = try await store.prune(request) }
            try require(try await stores.pruned().through, is: 2)
            request.ignoring = ["mailer"]
            try require(try await store.prune(request), is: PruneStep(events: 2, through: 4, isDone: false))
            try require(try await store.prune(request), is: PruneStep(events: 1, through: 5, isDone: true))
        },
        // The next transaction of a prune finds a consumer that was moved back since the one before.
        StoreCheck("what was removed before somebody came to a lower place stays removed") { stores in
            let writer = try await stores.join("p1").writer
            try await stores.persisted("abcdefghij", by: writer)
            var request = PruneRequest(stream: stores.stream, through: 8)
            request.limit = 4
            let store = try stores.prunable()
            try require(try await store.prune(request), is: PruneStep(events: 4, through: 4, isDone: false))
            _ = try await store.claimConsumer(stores.request("mailer", from: .after(4)))
            try await requireThrows(
                .pruneHeldBack(stream: stores.stream, id: 8, by: .consumer("mailer"), at: 4)
            ) { _ = try await store.prune(request) }
            try require(try await stores.pruned().through, is: 4)
            try require(try await stores.snapshot(after: 4).events.count, is: 6)
        },
        StoreCheck("so many are kept, or those from a time on and all after them") { stores in
            let writer = try await stores.join("p1").writer
            let events = try await stores.persisted("abcd", by: writer)
            let store = try stores.prunable()
            try require(try await store.end(of: .keeping(1), in: stores.stream), is: 3)
            try require(try await store.end(of: .keeping(4), in: stores.stream), is: 0)
            try require(try await store.end(of: .keeping(99), in: stores.stream), is: 0)
            try require(try await store.end(of: .keeping(0), in: stores.stream), is: 4)
            let time = Double(events[0].persistedAtMilliseconds) / 1000
            let before = Date(timeIntervalSince1970: time - 10)
            try require(try await store.end(of: .before(before), in: stores.stream), is: 0)
            let after = Date(timeIntervalSince1970: time + 1_000_000)
            try require(try await store.end(of: .before(after), in: stores.stream), is: 4)
            try require(try await store.prune(stores.stream, .keeping(1)).events, is: 3)
            try require(try await stores.snapshot(after: 3).events.map(\.event.id), is: ["d"])
        },
        StoreCheck("the ids of events stay: persisting one again gives the ID that it had") { stores in
            let writer = try await stores.join("p1").writer
            try await stores.persisted("abc", by: writer)
            try await stores.prune(through: 2)
            let outcomes = try await stores.persist(stores.events("a", "x", "c"), writer)
            guard case .persisted = outcomes[1] else {
                throw ConformanceFailure(description: "\(outcomes[1]) is there for an event that is new")
            }
            try require([outcomes[0], outcomes[2]], is: [.alreadyPersisted(1), .alreadyPersisted(3)])
            let id = try await stores.store.allocate(1, in: stores.stream, for: writer)[0]
            try require(
                try await stores.store.persist(stores.events("b")[0], as: id, in: stores.stream, by: writer),
                is: .alreadyPersisted(2))
            let settled = try await stores.store.settle([
                EventGroup(stores.events("a", "b"), in: stores.stream, by: writer)
            ])
            try require(settled.groups.first??.outcomes.map(\.streamID), is: [1, 2])
            // Nor does a moved consumer see them.
            try require(try await stores.snapshot(after: 2).events.map(\.event.id), is: ["c", "x"])
        },
        StoreCheck("unless one says otherwise: then an id that comes again is a new event") { stores in
            let writer = try await stores.join("p1").writer
            try await stores.persisted("abcd", by: writer)
            try await stores.prune(through: 2)
            let again = try await stores.prune(through: 3, forgettingIDs: true)
            try require(again.events, is: 1)
            try require(try await stores.pruned().forgottenThrough, is: 3)
            try require(
                try await stores.persist(stores.events("a", "c", "d"), writer),
                is: [.persisted(5), .persisted(6), .alreadyPersisted(4)])
            try require(try await stores.store.event(withID: "b", in: stores.stream) == nil, "b is there")
        },
        StoreCheck("a group that may have been committed, pruned and forgotten is neither committed nor never was") {
            stores in
            let writer = try await stores.join("p1").writer
            try await stores.persisted("ab", by: writer)
            try await stores.prune(through: 2, forgettingIDs: true)
            func group(_ id: String, known: StreamID) -> EventGroup {
                EventGroup(stores.events(id), in: stores.stream, by: writer, known: known)
            }
            try await stores.expectPruned(after: 1, through: 2) {
                _ = try await stores.store.settle([group("b", known: 1)])
            }
            // What it would have got is above what was pruned.
            let settled = try await stores.store.settle([group("x", known: 2)])
            try require(settled.groups.count, is: 1)
            try require(settled.groups[0] == nil, "a group that was never committed has outcomes")
        },
        // p1 holds 2 and 3 and is closed; 1 to 4 are pruned.
        StoreCheck("what is given up at or below the mark gets no tombstone, and is said to be pruned") { stores in
            let first = try await stores.join("p1").writer
            let second = try await stores.join("p2").writer
            try await stores.persist(stores.events("a"), first)
            let ids = try await stores.store.allocate(2, in: stores.stream, for: first)
            _ = try await stores.store.persist(stores.events("b")[0], as: ids[0], in: stores.stream, by: first)
            try await stores.persisted("de", by: second)
            _ = try await stores.store.closeWriter(stores.stream, instance: "p1")
            try await stores.prune(through: 4)
            let answer = try await stores.store.abandon(
                ids + [5], allocatedIn: nil, in: stores.stream, by: first)
            try require(answer, is: AbandonedIDs(committed: [ids[0], 5], pruned: [ids[1]]))
            let forgotten = try await stores.prune(through: 4, forgettingIDs: true)
            try require(forgotten.events, is: 0)
            try require(
                try await stores.store.abandon(ids, allocatedIn: nil, in: stores.stream, by: first),
                is: AbandonedIDs(pruned: ids))
            try require(try await stores.reconcile(above: 0).finished, is: [1...5])
            try await requireThrows(.closed(stream: stores.stream, instance: "p1", id: ids[1])) {
                _ = try await stores.store.persist(stores.events("c")[0], as: ids[1], in: stores.stream, by: first)
            }
        },
        StoreCheck("of a key that lost events it is known up to where, and what follows is found") { stores in
            guard let store = stores.store as? any KeyIndexStore else { return }
            _ = try await store.makeKeyIndex(of: stores.stream)
            let writer = try await stores.join("p1").writer
            try await stores.persist(
                ["a", "b", "c"].map { Event(id: $0, type: "noted", key: $0 == "b" ? "k2" : "k1") }, writer)
            _ = try await stores.beat(writer, at: 3)
            try await stores.prune(through: 2)
            func events(_ key: String, after position: StreamID) async throws -> [String] {
                try await store.events(ofKey: key, in: stores.stream, after: position, limit: 9, byteLimit: .max)
                    .map(\.event.id)
            }
            try await stores.expectPruned(after: 0, through: 1) { _ = try await events("k1", after: 0) }
            try await stores.expectPruned(after: 1, through: 2) { _ = try await events("k2", after: 1) }
            try require(try await events("k1", after: 1), is: ["c"])
            try require(try await events("k2", after: 2), is: [])
            try require(try await events("k3", after: 0), is: [])
        },
        StoreCheck("a stream of which all is pruned goes on where it was") { stores in
            let writer = try await stores.join("p1").writer
            let events = try await stores.persisted("abc", by: writer)
            try await stores.prune(through: 3, forgettingIDs: true)
            let found = try await stores.reconcile(above: 0)
            try require(found.sequence, is: 3)
            try require(found.newestCommitted, is: 3)
            try require(found.newest?.streamID, is: 3)
            try require(found.newest?.mark, is: events[2].mark)
            try require(found.finished, is: [1...3])
            // Whoever has committed them knows the database again.
            try require(try await stores.persist(stores.events("d"), writer), is: [.persisted(4)])
            try await stores.prune(through: 3)
            try await stores.store.leave(stores.stream, as: writer)
            let joined = try await stores.join("p2")
            try require(joined.position, is: 4)
            try require(try await stores.persist(stores.events("e"), joined.writer), is: [.persisted(5)])
            let snapshot = try await stores.snapshot(after: 3)
            try require(snapshot.events.map(\.streamID), is: [4, 5])
        },
    ]

    private static let prunedPlaceChecks: [StoreCheck] = [
        StoreCheck("a reader below the mark is told where the stream begins, and it is not taken for a restore") {
            stores in
            let writer = try await stores.join("p1").writer
            let events = try await stores.persisted("abcde", by: writer)
            func delivered(_ index: Int) -> Delivered {
                Delivered(streamID: events[index].streamID, mark: events[index].mark, eventID: events[index].event.id)
            }
            try await stores.prune(through: 3)
            for place in [0, 2] as [StreamID] {
                try await stores.expectPruned(after: place, through: 3) { _ = try await stores.snapshot(after: place) }
            }
            try await stores.expectPruned(after: 2, through: 3) {
                _ = try await stores.snapshot(after: 2, delivered: delivered(1))
            }
            // The mark of the newest one that was pruned is known.
            try require(try await stores.snapshot(after: 3, delivered: delivered(2)).events.count, is: 2)
            let other = Delivered(streamID: 3, mark: CommitMark(events[2].mark.rawValue + 1))
            try require(
                try await stores.snapshot(after: 3, delivered: other).deliveredIsThere == false,
                "another mark is taken for the same")
            // Who only asks whether it is the same database is not told no.
            for isForgotten in [false, true] {
                if isForgotten { try await stores.prune(through: 3, forgettingIDs: true) }
                try require(
                    try await stores.snapshot(after: 2, delivered: delivered(1), versionOffset: 1).deliveredIsThere,
                    "an event that was pruned is taken for a restore")
                try require(try await stores.snapshot(after: 3, delivered: delivered(2)).events.count, is: 2)
            }
        },
        // 3 is a tombstone: who has read up to 2 has lost nothing.
        StoreCheck("a place after which no event was pruned has lost nothing") { stores in
            let writer = try await stores.join("p1").writer
            try await stores.persisted("ab", by: writer)
            let id = try await stores.store.allocate(1, in: stores.stream, for: writer)[0]
            _ = try await stores.store.abandon([id], in: stores.stream, by: writer)
            try await stores.persisted("d", by: writer)
            try await stores.prune(through: 3)
            try require(try await stores.pruned().through, is: 3)
            try require(try await stores.snapshot(after: 2).events.map(\.event.id), is: ["d"])
            try await stores.expectPruned(after: 1, through: 3) { _ = try await stores.snapshot(after: 1) }
        },
        StoreCheck("a consumer does not begin where something is missing") { stores in
            let writer = try await stores.join("p1").writer
            let events = try await stores.persisted("abcde", by: writer)
            let database = try await stores.snapshot().database
            try await stores.prune(through: 3)
            for (start, after): (ConsumerStart, StreamID) in [
                (.beginning, 0), (.after(2), 2),
                (.after(EventPlace(database: database, id: 2, mark: events[1].mark)), 2),
                (.at(Date(timeIntervalSince1970: 0)), 0),
            ] {
                try await stores.expectPruned(after: after, through: 3) {
                    _ = try await stores.store.claimConsumer(stores.request("mailer", from: start))
                }
            }
            try require(try await stores.store.status(of: stores.stream)?.consumers.isEmpty, is: true)
            let place = EventPlace(database: database, id: 3, mark: events[2].mark)
            let claim = try await stores.store.claimConsumer(stores.request("kept", from: .after(place)))
            try require(claim.passed?.mark, is: events[2].mark)
            try require(try await stores.store.claimConsumer(stores.request("c2", from: .after(4))).position, is: 4)
            try require(try await stores.store.claimConsumer(stores.request("c3", from: .end)).position, is: 5)
            let later = Date(timeIntervalSince1970: Double(events[4].persistedAtMilliseconds) / 1000 + 1000)
            try require(try await stores.store.claimConsumer(stores.request("c4", from: .at(later))).position, is: 5)
        },
        StoreCheck("a consumer that was ignored is stopped, and told where the stream begins") { stores in
            let writer = try await stores.join("p1").writer
            try await stores.persisted("abcde", by: writer)
            let claim = try await stores.store.claimConsumer("mailer", in: stores.stream)
            try await stores.read(claim, through: 1)
            try await stores.prune(through: 3, ignoring: ["mailer"])
            try await requireThrows(.consumerTaken(stream: stores.stream, consumer: "mailer")) {
                try await stores.store.checkpoint(claim, at: 4, snapshot: try await stores.snapshot(after: 3).mark)
            }
            try await stores.expectPruned(after: 1, through: 3) {
                _ = try await stores.store.claimConsumer("mailer", in: stores.stream)
            }
            try await stores.expectPruned(after: 0, through: 3) {
                _ = try await stores.store.moveConsumer("mailer", in: stores.stream, to: .beginning)
            }
            try require(
                try await stores.store.moveConsumer("mailer", in: stores.stream, to: .after(3)), is: 3)
            let again = try await stores.store.claimConsumer("mailer", in: stores.stream)
            try await stores.read(again, through: 5)
            try require(
                try await stores.store.audit(stores.stream, consumer: "mailer", limit: 9).isComplete, is: true)
        },
        StoreCheck("the past of a consumer is judged with what was pruned of it") { stores in
            let writer = try await stores.join("p1").writer
            // A commit each: how many of them were pruned is known too.
            for id in "aBcDeF" { try await stores.persisted("\(id)", by: writer) }
            let all = try await stores.store.claimConsumer("all", in: stores.stream)
            let later = try await stores.store.claimConsumer(stores.request("later", from: .after(2)))
            var request = stores.request("even", from: .beginning)
            request.filter = .types(["even"])
            let even = try await stores.store.claimConsumer(request)
            let wrong = try await stores.store.claimConsumer("wrong", in: stores.stream)
            for claim in [all, later, even] { try await stores.read(claim, through: 5) }
            try await stores.read(wrong, through: 5, leavingOut: 3)
            try await stores.prune(through: 4)
            for (name, there, gone): (ConsumerName, Int64, Int64) in [("all", 1, 4), ("later", 1, 2), ("even", 0, 2)] {
                let audit = try await stores.store.audit(stores.stream, consumer: name, limit: 9)
                try require(audit.findings.map(\.description), is: [])
                try require(audit.events, is: there)
                try require(audit.pruned, is: gone)
                try require(audit.delivered, is: there + gone)
            }
            let audit = try await stores.store.audit(stores.stream, consumer: "wrong", limit: 9)
            try require(audit.findings.map(\.kind), is: [.deliveredDiffers])
            try await stores.prune(through: 5)
            try require(try await stores.store.audit(stores.stream, consumer: "all", limit: 9).pruned, is: 5)
            try require(
                try await stores.store.audit(stores.stream, consumer: "all", limit: 9).isComplete, is: true)
        },
        // Partition 0 is at 6, partition 1 at 4, where event 5 or 6 may be of it.
        StoreCheck("the past of a processor is judged by partition, with what was pruned of each") { stores in
            guard let store = stores.store as? any ProcessorStore else { return }
            let writer = try await stores.join("p1").writer
            let events = try await stores.persisted("abcdef", by: writer)
            let processor = ProcessorName("mailer", of: stores.stream)
            _ = try await store.claimConsumer("mailer", in: stores.stream)
            try await store.openProcessor(processor, filter: .all, partitions: 2)
            let process = ProcessorProcess(7)
            let look = try await store.beat(ProcessorBeat(process: process), of: processor)
            let claimed = try await store.claimPartitions(
                look.partitions.map {
                    PartitionObservation(partition: $0.partition, claim: $0.claim, owner: nil, heartbeat: nil)
                }, of: processor, by: process)
            let mark = try await stores.snapshot().mark
            func pass(_ partition: Int, to position: StreamID, leavingOut: StreamID? = nil) async throws {
                var sum = DeliveredSum()
                var passed: Delivered?
                for event in events where event.streamID <= position {
                    let number = PartitionHash.partition(ofKey: event.event.key, id: event.streamID, of: 2)
                    guard number == partition else { continue }
                    passed = Delivered(streamID: event.streamID, mark: event.mark)
                    if event.streamID != leavingOut { sum.add(event.streamID, mark: event.mark) }
                }
                let passage = Passage(position: position, delivered: sum, passed: passed, snapshot: mark)
                _ = try await store.checkpoint(
                    [.init(partition: partition, claim: claimed[partition].claim, passage: passage, releases: false)],
                    of: processor)
            }
            try await pass(0, to: 6)
            try await pass(1, to: 4)
            let audit = try await store.audit(stores.stream, consumer: "mailer", limit: 9)
            try require(audit.findings.map(\.description), is: [])
            try require(audit.position, is: 4)
            try require(audit.delivered, is: audit.events)
            try await stores.prune(through: 3)
            let after = try await store.audit(stores.stream, consumer: "mailer", limit: 9)
            try require(after.findings.map(\.description), is: [])
            try require(after.pruned, is: 3)
            try require(after.delivered, is: audit.delivered)
            // An event of partition 1 that its handler was never given.
            let last = events.last { PartitionHash.partition(ofKey: $0.event.key, id: $0.streamID, of: 2) == 1 }
            try await pass(1, to: 6, leavingOut: last?.streamID)
            let wrong = try await store.audit(stores.stream, consumer: "mailer", limit: 9)
            try require(wrong.findings.allSatisfy { $0.description.hasPrefix("partition 1: ") }, "\(wrong.findings)")
            try require(wrong.findings.contains { $0.kind == .deliveredDiffers }, "\(wrong.findings)")
        },
        StoreCheck("the least of a processor's partitions holds back, and parked events survive") { stores in
            guard let store = stores.store as? any ProcessorStore else { return }
            let writer = try await stores.join("p1").writer
            try await stores.persisted("abcd", by: writer)
            let processor = ProcessorName("mailer", of: stores.stream)
            _ = try await store.claimConsumer("mailer", in: stores.stream)
            try await store.openProcessor(processor, filter: .all, partitions: 2)
            let process = ProcessorProcess(7)
            let look = try await store.beat(ProcessorBeat(process: process), of: processor)
            let claimed = try await store.claimPartitions(
                look.partitions.map {
                    PartitionObservation(partition: $0.partition, claim: $0.claim, owner: nil, heartbeat: nil)
                }, of: processor,
                by: process)
            let mark = try await stores.snapshot().mark
            func pass(_ partition: Int, to position: StreamID, parking: [StreamID] = []) async throws {
                let passage = Passage(
                    position: position, delivered: nil, passed: nil, snapshot: mark,
                    parked: parking.map { ParkingNote(id: $0, reason: .exhausted, attempts: 1, problem: "x") })
                _ = try await store.checkpoint(
                    [.init(partition: partition, claim: claimed[partition].claim, passage: passage, releases: false)],
                    of: processor)
            }
            try await pass(0, to: 4, parking: [2])
            try await pass(1, to: 3)
            let held = TidemarkError.pruneHeldBack(stream: stores.stream, id: 4, by: .consumer("mailer"), at: 3)
            try await requireThrows(held) { _ = try await stores.prune(through: 4) }
            try await stores.prune(through: 3)
            let parked = try await store.parkedEvents(of: processor, after: 0, limit: 9)
            try require(parked.map { $0.event?.event.id }, is: ["b"])
            try require(parked.first?.event?.event.payload, is: [1, 2])
        },
    ]
}
