import Tidemark

extension StoreConformance {
    /// For stores that keep processors.
    static let processingChecks: [StoreCheck] = [
        check("a processor is made once, with the partitions that it keeps") { one in
            try await one.open(partitions: 4)
            try await one.open(partitions: 4)
            let look = try await one.beat(one.first)
            try require(look.partitions.map(\.partition), is: [0, 1, 2, 3])
            try require(look.partitions.allSatisfy { $0.owner == nil }, "a new partition has an owner")
            try require(look.processes.map(\.process), is: [one.first])
            try await requireThrows(
                "the partitions differ",
                where: { if case .partitionsDiffer = $0 { true } else { false } }
            ) { try await one.open(partitions: 5) }
            try await requireThrows(
                .filterDiffers(stream: one.stores.stream, consumer: "worker", stored: .all)
            ) { try await one.open(partitions: 4, filter: .types(["noted"])) }
            try await requireThrows(.isProcessor(stream: one.stores.stream, consumer: "worker")) {
                _ = try await one.stores.store.claimConsumer("worker", in: one.stores.stream)
            }
        },
        check("a heartbeat of a processor that is not there is an error") { one in
            _ = try await one.stores.join("p1")
            try await requireThrows(
                "the consumer is not known", where: { if case .unknownConsumer = $0 { true } else { false } }
            ) { _ = try await one.beat(one.first) }
        },
        check("a processor begins where it is told, and no higher than what is finished") { one in
            let writer = try await one.stores.join("p1").writer
            try await one.stores.persist(one.stores.events("a", "b"), writer)
            _ = try await one.stores.beat(writer, at: 2)
            try await requireThrows(.notReached(stream: one.stores.stream, id: 3, highest: 2)) {
                try await one.open(partitions: 1, from: .after(3))
            }
            try await one.open(partitions: 1, from: .after(1))
            try require(try await one.claim(0, one.first)?.position, is: 1)
        },
        check("a consumer becomes a processor at its checkpoint, and its reader is stopped") { one in
            let writer = try await one.stores.join("p1").writer
            try await one.stores.persist(one.stores.events("a", "b"), writer)
            _ = try await one.stores.beat(writer, at: 2)
            var request = ConsumerRequest(stream: one.stores.stream, consumer: "worker")
            request.start = .after(1)
            let claim = try await one.stores.store.claimConsumer(request)
            try await one.store.openProcessor(one.processor, filter: .all, partitions: 2)
            try require(try await one.claim(1, one.first)?.position, is: 1)
            try await requireThrows(.consumerTaken(stream: one.stores.stream, consumer: "worker")) {
                try await one.stores.store.verify(claim)
            }
        },
        check("a processor that is deleted is gone with what it has parked") { one in
            _ = try await one.parkTwo()
            try await one.stores.store.deleteConsumer("worker", in: one.stores.stream, takingOver: true)
            try await requireThrows(
                "the consumer is not known", where: { if case .unknownConsumer = $0 { true } else { false } }
            ) { _ = try await one.beat(one.first) }
            try await one.open(partitions: 3)
            try require(try await one.store.parkedEvents(of: one.processor, after: 0, limit: 10).count, is: 0)
        },
        check("another filter ends the claims of a processor") { one in
            try await one.open(partitions: 1)
            _ = try await one.beat(one.first)
            let claim = try await one.claim(0, one.first)
            try await one.stores.store.changeFilter(
                of: "worker", in: one.stores.stream, to: .types(["noted"]))
            try require(try await one.pass(claim, 0), is: false)
            try await one.open(partitions: 1, filter: .types(["noted"]))
        },
        check("a partition is claimed by one process, if it is what was observed") { one in
            try await one.open(partitions: 1)
            let look = try await one.beat(one.first)
            _ = try await one.beat(one.second)
            let observed = PartitionObservation(
                partition: 0, claim: look.partitions[0].claim, owner: nil, heartbeat: nil)
            let claimed = try await one.store.claimPartitions([observed], of: one.processor, by: one.first)
            try require(claimed.count, is: 1)
            try require(claimed[0].claim > observed.claim, "a claim does not grow")
            try require(claimed[0].uncleanThrough, is: nil)
            try require(
                try await one.store.claimPartitions([observed], of: one.processor, by: one.second).count, is: 0)
            // Nor when nobody has it any more: what was observed is of an earlier claim.
            let release = ProcessorMachine.Checkpoint(
                partition: 0, claim: claimed[0].claim, passage: nil, releases: true)
            try require(try await one.store.checkpoint([release], of: one.processor), is: [true])
            try require(
                try await one.store.claimPartitions([observed], of: one.processor, by: one.second).count, is: 0)
        },
        check("an owner whose heartbeat goes on is not robbed, and one that is silent is") { one in
            try await one.open(partitions: 1)
            _ = try await one.beat(one.first)
            let claim = try await one.claim(0, one.first)
            let look = try await one.beat(one.second)
            let heartbeat = look.processes.first { $0.process == one.first }?.heartbeat
            let observed = PartitionObservation(
                partition: 0, claim: look.partitions[0].claim, owner: one.first, heartbeat: heartbeat)
            _ = try await one.beat(one.first)
            try require(
                try await one.store.claimPartitions([observed], of: one.processor, by: one.second).count, is: 0)
            let again = try await one.beat(one.second)
            let silent = PartitionObservation(
                partition: 0, claim: look.partitions[0].claim, owner: one.first,
                heartbeat: again.processes.first { $0.process == one.first }?.heartbeat)
            let robbed = try await one.store.claimPartitions([silent], of: one.processor, by: one.second)
            try require(robbed.map(\.partition), is: [0])
            try require(robbed[0].uncleanThrough != nil, "the end of the one before counts as orderly")
            try require(
                try await one.pass(claim, 0), is: false)
        },
        check("a checkpoint moves the partition and the consumer, and only its owner's does") { one in
            let writer = try await one.stores.join("p1").writer
            try await one.stores.persist(one.stores.events("a", "b"), writer)
            try await one.open(partitions: 2)
            _ = try await one.beat(one.first)
            let (zero, other) = (try await one.claim(0, one.first), try await one.claim(1, one.first))
            try require(try await one.pass(zero, 2), is: true)
            try require(try await one.position(), is: 0)
            try require(try await one.pass(other, 1), is: true)
            try require(try await one.position(), is: 1)
            // Never back.
            try require(try await one.pass(zero, 1), is: true)
            try require(try await one.claim(0, one.first)?.position, is: 2)
            // Its claim is over now.
            try require(try await one.pass(zero, 2), is: false)
        },
        check("a checkpoint that goes on from one that is lost is refused, and a look shows where the partition is") {
            one in
            let writer = try await one.stores.join("p1").writer
            try await one.stores.persist(one.stores.events("a", "b"), writer)
            try await one.open(partitions: 1)
            _ = try await one.beat(one.first)
            let claim = try await one.claim(0, one.first)
            // As after a promotion that lost the checkpoint at 1.
            try require(try await one.pass(claim, from: 1, 2), is: false)
            try require(try await one.position(), is: 0)
            try require(try await one.beat(one.first).partitions[0].position ?? 0, is: 0)
            try require(try await one.pass(claim, 1), is: true)
            try require(try await one.beat(one.first).partitions[0].position ?? 1, is: 1)
            try require(try await one.pass(claim, from: 1, 2), is: true)
        },
        check("a checkpoint of a partition above the sequence, or past an event that is not there, is refused") { one in
            let writer = try await one.stores.join("p1").writer
            try await one.stores.persist(one.stores.events("a"), writer)
            try await one.open(partitions: 1)
            _ = try await one.beat(one.first)
            let claim = try await one.claim(0, one.first)
            try await requireThrows("it went backwards", where: \.saysWentBackwards) {
                _ = try await one.pass(claim, 9)
            }
            try await requireThrows("it went backwards", where: \.saysWentBackwards) {
                _ = try await one.pass(claim, 1, passed: Delivered(streamID: 1, mark: CommitMark(-1)))
            }
        },
        check("a partition that is given back is free at once, after an orderly end") { one in
            try await one.open(partitions: 1)
            _ = try await one.beat(one.first)
            let claim = try await one.claim(0, one.first)
            let release = ProcessorMachine.Checkpoint(
                partition: 0, claim: claim?.claim ?? 0, passage: nil, releases: true)
            try require(try await one.store.checkpoint([release], of: one.processor), is: [true])
            let look = try await one.beat(one.second)
            try require(look.partitions[0].owner, is: nil)
            try require(try await one.claim(0, one.second)?.uncleanThrough, is: nil)
        },
        check("what a process leaves behind may be claimed at once, after an unclean end") { one in
            try await one.open(partitions: 1)
            _ = try await one.beat(one.first)
            _ = try await one.claim(0, one.first)
            try await one.store.leaveProcessor(one.processor, process: one.first)
            let look = try await one.beat(one.second)
            try require(look.processes.map(\.process), is: [one.second])
            let observed = PartitionObservation(
                partition: 0, claim: look.partitions[0].claim, owner: one.first, heartbeat: nil)
            let claimed = try await one.store.claimPartitions([observed], of: one.processor, by: one.second)
            try require(claimed.first?.uncleanThrough != nil, "the end of the one before counts as orderly")
        },
        check("starts are counted until their events are passed") { one in
            let writer = try await one.stores.join("p1").writer
            try await one.stores.persist(one.stores.events("a", "b"), writer)
            try await one.open(partitions: 1)
            _ = try await one.beat(one.first)
            let claim = try await one.claim(0, one.first)
            let count = ProcessorMachine.Count(partition: 0, claim: claim?.claim ?? 0, ids: [1, 2])
            try require(try await one.store.countStarts([count], of: one.processor), is: [[1: 1, 2: 1]])
            try require(try await one.store.countStarts([count], of: one.processor), is: [[1: 2, 2: 2]])
            _ = try await one.pass(claim, 1)
            try require(try await one.claim(0, one.first)?.attempts, is: [2: 2])
            try require(try await one.store.countStarts([count], of: one.processor), is: [nil])
        },
        check("what is parked is copied with the checkpoint, tried again when it is marked, and dropped") { one in
            let claim = try await one.parkTwo()
            let parked = try await one.store.parkedEvents(of: one.processor, after: 0, limit: 10)
            try require(parked.map { $0.event?.event.id ?? "" }, is: ["a", "b"])
            try require(parked.map(\.reason), is: [.exhausted, .behind])
            try require(parked.map(\.problem), is: ["no", "behind it"])
            try require(parked[0].event?.event.payload ?? [], is: Array("a".utf8))
            try require(try await one.retries(claim), is: [])
            try await requireThrows(.notParked(stream: one.stores.stream, consumer: "worker", ids: [3])) {
                _ = try await one.store.retryParked([1, 3], of: one.processor)
            }
            try require(try await one.store.retryParked([1], of: one.processor), is: 1)
            try require(try await one.beat(one.first).partitions[0].retries, is: 1)
            // The partition's owner runs it, and nobody else.
            try require(
                try await one.store.takeRetries(
                    partition: 0, claim: (claim?.claim ?? 0) - 1, of: one.processor, limit: 10
                ).count, is: 0)
            try require(try await one.retries(claim), is: [1])
            // Once: what ends the process is not tried again and again.
            try require(try await one.retries(claim), is: [])
            try require(try await one.store.parkedIDs(partition: 0, of: one.processor), is: [1, 2])
            try require(try await one.store.dropParked(nil, of: one.processor), is: 2)
            try require(try await one.store.parkedEvents(of: one.processor, after: 0, limit: 10).count, is: 0)
        },
        check("what a handler's transaction has passed before its checkpoint came is not parked by that") { one in
            let writer = try await one.stores.join("p1").writer
            try await one.stores.persist(one.stores.events("a", "b"), writer)
            try await one.open(partitions: 1)
            _ = try await one.beat(one.first)
            let claim = try await one.claim(0, one.first)
            try require(try await one.pass(claim, 1), is: true)
            let notes = [
                ParkingNote(id: 1, reason: .timeLimit, attempts: 1, problem: "too long"),
                ParkingNote(id: 2, reason: .behind, attempts: 0, problem: "behind it"),
            ]
            try require(try await one.pass(claim, 2, parking: notes), is: true)
            try require(try await one.store.parkedIDs(partition: 0, of: one.processor), is: [2])
        },
        check("parked events are told apart by their keys byte for byte, and a page of none has none") { one in
            let writer = try await one.stores.join("p1").writer
            let keys = ["\u{e9}", "e\u{301}"]
            try await one.stores.persist(keys.map { Event(id: $0, type: "noted", key: $0) }, writer)
            try await one.open(partitions: 1)
            _ = try await one.beat(one.first)
            let notes = [1, 2].map { ParkingNote(id: $0, reason: .exhausted, attempts: 1, problem: "no") }
            try require(try await one.pass(try await one.claim(0, one.first), 2, parking: notes), is: true)
            let held = try await one.claim(0, one.first)?.held
            try require(held, is: [Array(keys[0].utf8): [1], Array(keys[1].utf8): [2]])
            for limit in [0, -1] {
                try require(
                    try await one.store.parkedEvents(of: one.processor, after: 0, limit: limit).count, is: 0)
            }
        },
        check("what was handled late is removed, and what was parked behind it is tried next") { one in
            let claim = try await one.parkTwo()
            let number = claim?.claim ?? 0
            let note = ParkingNote(id: 1, reason: .exhausted, attempts: 2, problem: "again")
            try await one.store.endRetries(
                [.init(partition: 0, claim: number, id: 1, note: note)], of: one.processor)
            let parked = try await one.store.parkedEvents(of: one.processor, after: 0, limit: 1)
            try require(parked.map(\.problem), is: ["again"])
            try require(parked.map(\.attempts), is: [7])
            // Whoever has another claim changes nothing.
            try await one.store.endRetries(
                [.init(partition: 0, claim: number - 1, id: 1, note: nil)], of: one.processor)
            try require(try await one.store.parkedIDs(partition: 0, of: one.processor), is: [1, 2])
            try await one.store.endRetries([.init(partition: 0, claim: number, id: 1, note: nil)], of: one.processor)
            try require(try await one.store.parkedIDs(partition: 0, of: one.processor), is: [2])
            try require(try await one.retries(claim), is: [2])
        },
        check("a processor that is moved goes on from there, under new claims") { one in
            let writer = try await one.stores.join("p1").writer
            try await one.stores.persist(one.stores.events("a", "b"), writer)
            _ = try await one.stores.beat(writer, at: 2)
            try await one.open(partitions: 2)
            _ = try await one.beat(one.first)
            let claim = try await one.claim(0, one.first)
            _ = try await one.pass(claim, 2)
            try require(
                try await one.stores.store.moveConsumer("worker", in: one.stores.stream, to: .after(1)), is: 1)
            try require(try await one.pass(claim, 2), is: false)
            try require(try await one.claim(0, one.first)?.position, is: 1)
            try require(try await one.claim(1, one.first)?.position, is: 1)
        },
        check("a status shows who has which partition, the oldest handler of each, and how many events are parked") {
            one in
            _ = try await one.parkTwo()
            var beat = ProcessorBeat(process: one.first)
            beat.oldest = [OldestHandler(partition: 0, id: 2, milliseconds: 5_000)]
            _ = try await one.store.beat(beat, of: one.processor)
            var request = ConsumerRequest(stream: one.stores.stream, consumer: "plain")
            request.start = .after(1)
            _ = try await one.stores.store.claimConsumer(request)
            let consumers = try await one.stores.store.status(of: one.stores.stream)?.consumers ?? []
            let plain = consumers.first { $0.name == "plain" }
            try require(plain?.partitions, is: [])
            try require(plain?.parked, is: 0)
            let worker = consumers.first { $0.name == "worker" }
            try require(worker?.parked, is: 2)
            try require(worker?.partitions.map(\.partition), is: [0])
            let owned = worker?.partitions.first
            try require(owned?.position, is: 2)
            try require(owned?.owner, is: one.first)
            try require(owned?.oldestHandler, is: 2)
            try require(owned?.handlerMilliseconds ?? 0 >= 5_000, "a handler has run for less than it said")
            // The next beat says that it has ended, and a process that has left owns nothing that one could ask.
            _ = try await one.beat(one.first)
            try await one.store.leaveProcessor(one.processor, process: one.first)
            let left = try await one.partition()
            try require(left?.oldestHandler, is: nil)
            try require(left?.processID, is: nil)
            let claim = try await one.claim(0, one.second)
            let release = ProcessorMachine.Checkpoint(
                partition: 0, claim: claim?.claim ?? 0, passage: nil, releases: true)
            _ = try await one.store.checkpoint([release], of: one.processor)
            try require(try await one.partition()?.owner, is: nil)
            try require(try await one.store.dropParked([1], of: one.processor), is: 1)
            try require(
                try await one.store.status(of: one.stores.stream)?.consumers.first { $0.name == "worker" }?.parked,
                is: 1)
        },
        check("a process that is gone and owns nothing is forgotten, if it still is so") { one in
            try await one.open(partitions: 1)
            let look = try await one.beat(one.first)
            _ = try await one.beat(one.first)
            let stale = ProcessorBeat(process: one.second, forgetting: look.processes)
            try require(try await one.store.beat(stale, of: one.processor).processes.count, is: 2)
            let newest = try await one.beat(one.second).processes.filter { $0.process == one.first }
            let forgetting = ProcessorBeat(process: one.second, forgetting: newest)
            try require(
                try await one.store.beat(forgetting, of: one.processor).processes.map(\.process), is: [one.second])
        },
    ]

    private static func check(
        _ description: String, _ body: @escaping @Sendable (OneProcessor) async throws -> Void
    ) -> StoreCheck {
        StoreCheck(description) { stores in
            // A store need not keep processors.
            guard let store = stores.store as? any ProcessorStore else { return }
            try await body(OneProcessor(stores: stores, store: store))
        }
    }
}

/// A processor that two processes run.
private struct OneProcessor: Sendable {
    let stores: ConformanceStores
    let store: any ProcessorStore
    let first = ProcessorProcess(11)
    let second = ProcessorProcess(12)

    var processor: ProcessorName { ProcessorName("worker", of: stores.stream) }

    func open(
        partitions: Int, from start: ConsumerStart = .beginning, filter: EventFilter = .all
    ) async throws {
        var request = ConsumerRequest(stream: stores.stream, consumer: "worker")
        request.start = start
        request.filter = filter
        do { _ = try await store.claimConsumer(request) } catch TidemarkError.isProcessor {}
        try await store.openProcessor(processor, filter: filter, partitions: partitions)
    }

    func beat(_ process: ProcessorProcess) async throws -> ProcessorLook {
        try await store.beat(ProcessorBeat(process: process), of: processor)
    }

    /// Claims the partition as it is.
    func claim(_ partition: Int, _ process: ProcessorProcess) async throws -> ProcessorMachine.Claimed? {
        let found = try await beat(process).partitions[partition]
        let observed = PartitionObservation(
            partition: partition, claim: found.claim, owner: found.owner, heartbeat: nil)
        return try await store.claimPartitions([observed], of: processor, by: process).first
    }

    /// Writes a checkpoint; whether it was taken.
    func pass(
        _ claim: ProcessorMachine.Claimed?, from begin: StreamID = 0, _ position: StreamID, passed: Delivered? = nil,
        parking: [ParkingNote] = []
    ) async throws -> Bool {
        let passage = Passage(
            begin: begin, position: position, delivered: nil, passed: passed,
            snapshot: try await stores.snapshot().mark,
            parked: parking)
        let checkpoint = ProcessorMachine.Checkpoint(
            partition: claim?.partition ?? 0, claim: claim?.claim ?? 0, passage: passage, releases: false)
        return try await store.checkpoint([checkpoint], of: processor)[0]
    }

    func position() async throws -> StreamID? {
        try await store.status(of: stores.stream)?.consumers.first { $0.name == "worker" }?.position
    }

    /// The first partition, as the status has it.
    func partition() async throws -> StreamStatus.PartitionStatus? {
        try await store.status(of: stores.stream)?.consumers.first { $0.name == "worker" }?.partitions.first
    }

    /// Two events of one key, of which the second is parked behind the first.
    func parkTwo() async throws -> ProcessorMachine.Claimed? {
        let writer = try await stores.join("p1").writer
        try await stores.persist(stores.events("a", "b"), writer)
        try await open(partitions: 1)
        _ = try await beat(first)
        let claim = try await claim(0, first)
        let notes = [
            ParkingNote(id: 1, reason: .exhausted, attempts: 5, problem: "no"),
            ParkingNote(id: 2, reason: .behind, attempts: 0, problem: "behind it"),
        ]
        try require(try await pass(claim, 2, parking: notes), is: true)
        return claim
    }

    /// The parked events that are to be tried again.
    func retries(_ claim: ProcessorMachine.Claimed?) async throws -> [StreamID] {
        try await store.takeRetries(partition: 0, claim: claim?.claim ?? 0, of: processor, limit: 10).map(\.streamID)
    }
}
