import Testing

@testable import TidemarkCore

@Suite struct PartitionOwnershipTests {
    let one = ProcessorProcess(1)
    let two = ProcessorProcess(2)

    func sighting(_ process: ProcessorProcess, _ heartbeat: Int64, isGone: Bool = false) -> ProcessSighting {
        ProcessSighting(process: process, heartbeat: heartbeat, isGone: isGone)
    }

    func partitions(_ owners: [ProcessorProcess?]) -> [PartitionSighting] {
        owners.enumerated().map { PartitionSighting(partition: $0, owner: $1, claim: 7) }
    }

    func look(
        _ ownership: inout PartitionOwnership, _ processes: [ProcessSighting], _ partitions: [PartitionSighting],
        at seconds: Int, isReleasing: Bool = false
    ) -> PartitionOwnership.Decision {
        let process = ownership.process
        let owned = Dictionary(
            uniqueKeysWithValues: partitions.filter { $0.owner == process }.map { ($0.partition, $0.claim) })
        return ownership.look(
            processes, partitions, owned: owned, isReleasing: isReleasing, mayClaim: { owned[$0] == nil },
            awake: .seconds(seconds))
    }

    @Test func `who is alone claims what nobody owns`() {
        var ownership = PartitionOwnership(process: one, timeout: .seconds(4))
        let decision = look(&ownership, [sighting(one, 1)], partitions([nil, nil, nil]), at: 0)
        #expect(decision.claim.map(\.partition) == [0, 1, 2] && decision.release == nil)
    }

    /// The database took a claim, and the answer was lost: no other process may take the partition from one that lives.
    @Test func `what the database says is its own is claimed again, and given back where another is to have it`() {
        var ownership = PartitionOwnership(process: one, timeout: .seconds(4))
        let mine = partitions(Array(repeating: one, count: 16))
        let both = [sighting(one, 1), sighting(two, 1)]
        let decision = ownership.look(
            both, mine, owned: [:], isReleasing: false, mayClaim: { _ in true }, awake: .seconds(0))
        #expect(decision.claim.map(\.partition) == Array(0..<16))
        #expect(decision.claim.allSatisfy { $0.owner == one && $0.heartbeat == nil })
        let next = look(&ownership, [sighting(one, 2), sighting(two, 2)], mine, at: 1)
        #expect(next.release != nil)
    }

    @Test func `every partition is claimed by one of the processes, and by no two`() {
        var first = PartitionOwnership(process: one, timeout: .seconds(4))
        var second = PartitionOwnership(process: two, timeout: .seconds(4))
        let free = partitions(Array(repeating: nil, count: 64))
        let both = [sighting(one, 1), sighting(two, 1)]
        let a = Set(look(&first, both, free, at: 0).claim.map(\.partition))
        let b = Set(look(&second, both, free, at: 0).claim.map(\.partition))
        #expect(a.isDisjoint(with: b) && a.union(b) == Set(0..<64))
        #expect(a.count > 16 && b.count > 16)
    }

    @Test func `who joins gets its share, one partition with each heartbeat of the owner`() {
        var ownership = PartitionOwnership(process: one, timeout: .seconds(4))
        var owners: [ProcessorProcess?] = Array(repeating: one, count: 16)
        var beats: Int64 = 0
        while true {
            beats += 1
            let decision = look(
                &ownership, [sighting(one, beats), sighting(two, beats)], partitions(owners), at: Int(beats))
            #expect(decision.claim == [])
            guard let released = decision.release else { break }
            // None while one is being given back.
            let meanwhile = look(
                &ownership, [sighting(one, beats), sighting(two, beats)], partitions(owners), at: Int(beats),
                isReleasing: true)
            #expect(meanwhile.release == nil)
            owners[released] = two
        }
        #expect(owners.contains(one) && owners.contains(two))
    }

    @Test func `an owner that lives is never robbed, however long it keeps a partition`() {
        var ownership = PartitionOwnership(process: one, timeout: .seconds(4))
        for beat in 1...100 {
            let decision = look(
                &ownership, [sighting(one, Int64(beat)), sighting(two, Int64(beat))],
                partitions(Array(repeating: two, count: 16)), at: beat)
            #expect(decision.claim == [] && decision.forget == [])
        }
    }

    @Test func `the partitions of a silent owner are claimed after the timeout, if its heartbeat is still the same`() {
        var ownership = PartitionOwnership(process: one, timeout: .seconds(4))
        for second in 0..<4 {
            let decision = look(
                &ownership, [sighting(one, Int64(second)), sighting(two, 9)], partitions([two, two]), at: second)
            #expect(decision.claim == [])
        }
        let decision = look(&ownership, [sighting(one, 4), sighting(two, 9)], partitions([two, two]), at: 4)
        #expect(
            decision.claim == [
                PartitionObservation(partition: 0, claim: 7, owner: two, heartbeat: 9),
                PartitionObservation(partition: 1, claim: 7, owner: two, heartbeat: 9),
            ])
    }

    @Test func `time in which nobody could look is not silence`() {
        var ownership = PartitionOwnership(process: one, timeout: .seconds(4))
        _ = look(&ownership, [sighting(one, 1), sighting(two, 9)], partitions([two]), at: 0)
        // Nobody's heartbeat was taken for a minute.
        let decision = look(&ownership, [sighting(one, 2), sighting(two, 9)], partitions([two]), at: 60)
        #expect(decision.claim == [])
    }

    @Test func `where the process is gone nobody waits for the timeout`() {
        var ownership = PartitionOwnership(process: one, timeout: .seconds(4))
        let decision = look(
            &ownership, [sighting(one, 1), sighting(two, 9, isGone: true)], partitions([two]), at: 0)
        #expect(decision.claim == [PartitionObservation(partition: 0, claim: 7, owner: two, heartbeat: nil)])
        let after = look(&ownership, [sighting(one, 2), sighting(two, 9, isGone: true)], partitions([one]), at: 1)
        #expect(after.forget.map(\.process) == [two])
    }

    @Test func `a process that left owns nothing`() {
        var ownership = PartitionOwnership(process: one, timeout: .seconds(4))
        let decision = look(&ownership, [sighting(one, 1)], partitions([two]), at: 0)
        #expect(decision.claim == [PartitionObservation(partition: 0, claim: 7, owner: two, heartbeat: nil)])
    }

    @Test func `what another one has by now is lost`() {
        var ownership = PartitionOwnership(process: one, timeout: .seconds(4))
        let decision = ownership.look(
            [sighting(one, 1), sighting(two, 1)], partitions([two]), owned: [0: 6], isReleasing: false,
            mayClaim: { _ in true }, awake: .zero)
        #expect(decision.lost == [0] && decision.claim == [])
    }

    /// After a promotion the claim is as good as it was, and what was parked with a checkpoint that is lost is not parked.
    @Test func `a partition that is below where it was before the look is claimed again`() {
        var ownership = PartitionOwnership(process: one, timeout: .seconds(4))
        let found = [0, 1].map { PartitionSighting(partition: $0, owner: one, claim: 7, position: 5) }
        let decision = ownership.look(
            [sighting(one, 1)], found, owned: [0: 7, 1: 7], places: [0: 6, 1: 5], isReleasing: false,
            mayClaim: { _ in false }, awake: .zero)
        #expect(decision.lost == [0])
        #expect(decision.claim == [PartitionObservation(partition: 0, claim: 7, owner: one, heartbeat: nil)])
    }
}

@Suite struct PartitionHashTests {
    /// A processor keeps the hash's name: what it gives is fixed.
    @Test func `the hash is what it was`() {
        #expect(PartitionHash.name == "fnv1a64-splitmix64/1")
        let partitions = ["", "a", "order/17", "é", "e\u{301}"].map {
            PartitionHash.partition(ofKey: $0, id: 1, of: 16)
        }
        #expect(partitions == [11, 8, 9, 14, 5])
        #expect((1...5).map { PartitionHash.partition(ofKey: nil, id: StreamID($0), of: 16) } == [1, 14, 13, 10, 10])
    }
}
