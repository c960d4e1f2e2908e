import TestSupport
import Testing
import Tidemark
import TidemarkPostgreSQL
import TidemarkSQLite
import TidemarkTesting

/// What pruning has left of a stream, and what its processors keep, goes along.
extension StreamMoveTests {
    private func prune(
        _ store: any MovableStore, through id: StreamID, forgetting: Bool = false, ignoring: Set<ConsumerName> = []
    ) async throws {
        let prunable = try #require(store as? any PrunableStore)
        var request = PruneRequest(stream: stream, through: id)
        request.ignoring = ignoring
        request.forgetsIDs = forgetting
        request.limit = 4
        while try await !prunable.prune(request).isDone {}
    }

    /// The members leave, so that everything is finished, and consumers that hold the beginning are gone.
    private func settle(_ store: any MovableStore) async throws {
        let members = try #require(try await store.status(of: stream)).writers.filter(\.isMember)
        for member in members { try await store.leave(stream, as: member.writer) }
    }

    @Test(arguments: Way.allCases, [false, true])
    func `what pruning has left arrives as such, there and back`(_ way: Way, _ forgets: Bool) async throws {
        try await withStores(way) { source, destination in
            #expect(try await (source as? any KeyIndexStore)?.makeKeyIndex(of: stream) == .complete)
            try await fill(source)
            try await settle(source)
            // "none" and "half" are below the mark, or at it.
            try await prune(source, through: 30, forgetting: forgets, ignoring: ["none", "half"])
            let before = try #require(try await source.movedStream(stream)).pruned
            #expect(before.through == 30 && (before.forgottenThrough == 30) == forgets)
            let ids = try await rows(source).reduce(into: [String: StreamID]()) { found, row in
                if case .pruned(let id, _) = row.content { found[id] = row.streamID }
            }
            #expect(ids.isEmpty == forgets)

            var move = StreamMove(stream, from: source, to: destination)
            move.batchRows = 7
            let report = try await move.run()
            #expect(report.prunedEvents == ids.count && report.prunedKeys == 5)
            #expect(report.events == 40 - Int(before.events.count))
            var expected = try await content(rows(source))
            for (here, there) in [(source, destination), (destination, source)] {
                if there.description == source.description {
                    _ = try await StreamMove(stream, from: here, to: there).run()
                }
                #expect(try await content(rows(there)) == expected)
                let after = try #require(try await there.movedStream(stream)).pruned
                #expect(after.through == 30 && after.events.count == before.events.count)
                #expect(after.last?.streamID == before.last?.streamID)
                #expect(after.forgottenThrough == before.forgottenThrough)
                #expect(after.latestMilliseconds == before.latestMilliseconds)

                // Whoever is behind stays behind, with the same error, and who has passed all goes on.
                await #expect(throws: TidemarkError.pruned(stream: stream, after: 0, through: 30)) {
                    try await there.claimConsumer("none", in: stream)
                }
                let audit = try await there.audit(stream, consumer: "whole", limit: 10)
                #expect(audit.isComplete && audit.pruned == before.events.count, "\(audit)")
                #expect(try await there.claimConsumer("whole", in: stream).passed != nil)

                // An id that is left is known, and a key knows of its newest event that was pruned.
                let writer = try await there.join(stream, as: "p9").writer
                if let (id, place) = ids.first {
                    let again = try await there.persist([Event(id: id, type: "noted")], in: stream, by: writer)
                    #expect(again == [.alreadyPersisted(place)])
                }
                let index = try #require(there as? any KeyIndexStore)
                #expect(try await index.keyIndex(of: stream) == .complete)
                let call = EventGroup.Call(events: 1, condition: KeyCondition(key: "k4", expected: nil))
                let new = EventGroup(
                    [Event(id: "new", type: "noted", key: "k4")], in: stream, by: writer, calls: [call])
                guard case .failed(.conflict(_, nil, .some)) = try await there.persist(new).refusals[0] else {
                    Issue.record("a key that lost its events is taken for a new one")
                    return
                }
                await #expect(throws: TidemarkError.self) {
                    try await index.events(ofKey: "k4", in: stream, after: 0, limit: 10, byteLimit: .max)
                }
                try await there.leave(stream, as: writer)
                // An ID that was taken for what was there already is a tombstone on PostgreSQL.
                expected = try await content(rows(there))
            }
            // It is pruned further where it is now, and goes once more.
            try await prune(source, through: 32, ignoring: ["none", "half"])
            expected = try await content(rows(source))
            _ = try await StreamMove(stream, from: source, to: destination).run()
            #expect(try await content(rows(destination)) == expected)
            let audit = try await destination.audit(stream, consumer: "whole", limit: 10)
            #expect(audit.isComplete && audit.pruned > before.events.count, "\(audit)")
            await #expect(throws: TidemarkError.pruned(stream: stream, after: 0, through: 32)) {
                try await destination.claimConsumer("none", in: stream)
            }
        }
    }

    @Test(arguments: Way.allCases, [false, true])
    func `what is pruned while rows are copied is pruned there too`(_ way: Way, _ forgets: Bool) async throws {
        try await withStores(way) { source, destination in
            #expect(try await (source as? any KeyIndexStore)?.makeKeyIndex(of: stream) == .complete)
            try await fill(source)
            try await settle(source)
            var move = StreamMove(stream, from: source, to: destination)
            move.batchRows = 7
            let ready = move
            // 14 rows are there, with all that they say; then 20 are pruned.
            let stopped = Task {
                try await ready.run {
                    if case .copied(let through, _) = $0, through > 10 { withUnsafeCurrentTask { $0?.cancel() } }
                }
            }
            await #expect(throws: CancellationError.self) { try await stopped.value }
            try await prune(source, through: 20, forgetting: forgets, ignoring: ["none"])
            let report = try await move.run()
            #expect(report.resumedAfter ?? 0 > 10)
            #expect(try await content(rows(source)) == content(rows(destination)))
            #expect(try await destination.movedStream(stream)?.pruned.through == 20)
            let index = try #require(destination as? any KeyIndexStore)
            let found = try await index.events(ofKey: "k1", in: stream, after: 20, limit: 100, byteLimit: .max)
            #expect(!found.isEmpty && found.allSatisfy { $0.streamID > 20 })
            for name: ConsumerName in ["whole", "half"] {
                let audit = try await destination.audit(stream, consumer: name, limit: 10)
                #expect(audit.isComplete, "\(audit)")
            }
        }
    }

    /// A processor of three partitions, of which the first has passed 20 and parked some, the others 30.
    private func process(_ store: any MovableStore) async throws -> (any ProcessorStore, ProcessorName) {
        let processors = try #require(store as? any ProcessorStore)
        let name = ProcessorName("worker", of: stream)
        _ = try await store.claimConsumer(ConsumerRequest(stream: stream, consumer: "worker"))
        try await processors.openProcessor(name, filter: .all, partitions: 3)
        let process = ProcessorProcess(7)
        let look = try await processors.beat(ProcessorBeat(process: process), of: name)
        let claims = try await processors.claimPartitions(
            look.partitions.map {
                PartitionObservation(partition: $0.partition, claim: $0.claim, owner: nil, heartbeat: nil)
            }, of: name, by: process)
        let version = try #require(try await store.reconciliation(of: stream, above: 0, limit: 0)).membership.version
        for claim in claims {
            let position: StreamID = claim.partition == 0 ? 20 : 30
            let batch = try #require(
                try await store.snapshot(
                    of: stream,
                    SnapshotRequest(
                        delivered: nil, membershipVersion: version, after: 0, through: position, limit: 1_000,
                        byteLimit: .max)))
            let own = batch.events.filter {
                PartitionHash.partition(ofKey: $0.event.key, id: $0.streamID, of: 3) == claim.partition
                    && $0.streamID <= position
            }
            var sum = DeliveredSum()
            for event in own { sum.add(event.streamID, mark: event.mark) }
            let last = try #require(own.last)
            let notes = own.prefix(claim.partition == 0 ? 3 : 0).enumerated().map {
                ParkingNote(id: $1.streamID, reason: $0 == 0 ? .exhausted : .behind, attempts: 5 - $0, problem: "no\0")
            }
            let passage = Passage(
                position: position, delivered: sum,
                passed: Delivered(streamID: last.streamID, mark: last.mark), snapshot: batch.mark, parked: notes)
            let checkpoint = ProcessorMachine.Checkpoint(
                partition: claim.partition, claim: claim.claim, passage: passage, releases: claim.partition > 0)
            #expect(try await processors.checkpoint([checkpoint], of: name) == [true])
        }
        let count = ProcessorMachine.Count(partition: 0, claim: claims[0].claim, ids: [25, 26])
        #expect(try await processors.countStarts([count], of: name) == [[25: 1, 26: 1]])
        return (processors, name)
    }

    private func parked(_ store: any MovableStore) async throws -> [String] {
        let events = try await store.movedParked(of: stream, by: "worker", after: 0, limit: 100, byteLimit: .max)
        return events.map { parked in
            let problem = parked.problem.replacing("\0", with: "\u{fffd}")
            return "\(parked.streamID) \(String(describing: parked.event?.event)) \(parked.partition) \(parked.reason) "
                + "\(parked.attempts) \(problem) \(parked.parkedAtMilliseconds) \(parked.isToBeRetried)"
        }
    }

    @Test(arguments: Way.allCases)
    func `a processor arrives with its partitions and what it has parked, there and back`(_ way: Way) async throws {
        try await withStores(way) { source, destination in
            try await fill(source)
            let (_, name) = try await process(source)
            let before = try #require(try await source.movedStream(stream)?.consumers.first { $0.name == "worker" })
            let parkedBefore = try await parked(source)
            #expect(parkedBefore.count == 3 && before.position == 20)
            var move = StreamMove(stream, from: source, to: destination)
            move.batchRows = 2
            #expect(try await move.run().parked == 3)
            for (here, there) in [(source, destination), (destination, source)] {
                if there.description == source.description {
                    #expect(try await StreamMove(stream, from: here, to: there).run().parked == 3)
                }
                let after = try #require(try await there.movedStream(stream)?.consumers.first { $0.name == "worker" })
                #expect(after.position == 20)
                #expect(after.partitions.map(\.partition) == [0, 1, 2])
                #expect(after.partitions.map(\.position) == before.partitions.map(\.position))
                #expect(after.partitions.map(\.hash) == before.partitions.map(\.hash))
                #expect(after.partitions.map(\.delivered?.count) == before.partitions.map(\.delivered?.count))
                #expect(after.partitions[0].attempts == [25: 1, 26: 1])
                #expect(zip(after.partitions, before.partitions).allSatisfy { $0.claim > $1.claim })
                #expect(try await parked(there) == parkedBefore)
                let audit = try await there.audit(stream, consumer: "worker", limit: 10)
                #expect(audit.isComplete, "\(audit)")
                // It goes on there: nobody has the partitions, and what was parked can be tried again.
                let processors = try #require(there as? any ProcessorStore)
                try await processors.openProcessor(name, filter: .all, partitions: 3)
                let look = try await processors.beat(ProcessorBeat(process: ProcessorProcess(9)), of: name)
                #expect(look.partitions.allSatisfy { $0.owner == nil })
                let observed = PartitionObservation(
                    partition: 0, claim: look.partitions[0].claim, owner: nil, heartbeat: nil)
                let claimed = try await processors.claimPartitions([observed], of: name, by: ProcessorProcess(9))
                #expect(claimed.first?.position == 20 && claimed.first?.attempts == [25: 1, 26: 1])
                let release = ProcessorMachine.Checkpoint(
                    partition: 0, claim: claimed.first?.claim ?? 0, passage: nil, releases: true)
                _ = try await processors.checkpoint([release], of: name)
            }
            let processors = try #require(source as? any ProcessorStore)
            #expect(try await processors.dropParked(nil, of: name) == 3)
        }
    }

    @Test(arguments: Way.allCases)
    func `a move that is taken back leaves the processor as it was, under other claims`(_ way: Way) async throws {
        try await withStores(way) { source, destination in
            try await fill(source)
            let (processors, name) = try await process(source)
            let before = try #require(try await source.movedStream(stream)?.consumers.first { $0.name == "worker" })
            let parkedBefore = try await parked(source)
            let move = StreamMove(stream, from: source, to: destination)
            let stopped = Task { try await move.run { if $0 == .changed { withUnsafeCurrentTask { $0?.cancel() } } } }
            await #expect(throws: CancellationError.self) { try await stopped.value }
            let old = ProcessorMachine.Checkpoint(
                partition: 0, claim: before.partitions[0].claim, passage: nil, releases: true)
            let moved = TidemarkError.streamMoved(
                stream: stream, store: source.description, to: destination.description)
            await #expect(throws: moved) { try await processors.checkpoint([old], of: name) }
            try await move.cancel()
            #expect(try await parked(source) == parkedBefore)
            // Whoever had it before claims it again.
            #expect(try await processors.checkpoint([old], of: name) == [false])
            let after = try #require(try await source.movedStream(stream)?.consumers.first { $0.name == "worker" })
            #expect(after.partitions.map(\.position) == before.partitions.map(\.position))
            #expect(after.partitions.map(\.delivered) == before.partitions.map(\.delivered))
        }
    }
}
