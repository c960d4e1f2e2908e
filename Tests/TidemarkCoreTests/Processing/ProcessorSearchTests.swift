import Testing

@testable import TidemarkCore

/// Every order in which a small case can go: two processes that each may have claimed the one partition, three events of two
/// keys, a handler that fails, checkpoints, a claim that is taken over while handlers run.
@Suite struct ProcessorSearchTests {
    /// What the database has.
    struct Shared: Hashable {
        var claim = 0
        var owner = -1
        var position: StreamID = 0
        var parked: Set<StreamID> = []
        var handled: Set<StreamID> = []
    }

    struct World {
        var shared = Shared()
        var machines: [ProcessorMachine]
        /// Of each process: the run of each event, and under which claim.
        var runs: [[StreamID: (run: Int, claim: Int)]] = [[:], [:]]
        var pending: [ProcessorMachine.Checkpoint?] = [nil, nil]
        /// The events that a handler of the process did not handle.
        var failures: [Set<StreamID>] = [[], []]
        /// All that each process was told, but for its order where that makes no difference to a machine.
        var told: [Told] = [Told(), Told()]

        /// Two worlds of one signature go on alike: what a machine knows follows from what it was told.
        var signature: [AnyHashable] {
            [shared, told[0], told[1], failures[0], failures[1]]
                + (0...1).flatMap { process -> [AnyHashable] in
                    [
                        runs[process].mapValues(\.claim), pending[process]?.claim,
                        pending[process]?.passage?.position, pending[process]?.passage?.parked.map(\.id),
                    ]
                }
        }
    }

    struct Told: Hashable {
        var claim = 0
        var claimedAt: StreamID = -1
        var ended: [StreamID: Bool] = [:]
        var checkpoints: [StreamID?: Bool] = [:]
    }

    static let keys: [StreamID: String] = [1: "a", 2: "a", 3: "b"]

    static func newMachine() -> ProcessorMachine {
        var configuration = ProcessorMachine.Configuration()
        configuration.partitions = 1
        configuration.concurrency = 2
        configuration.maximumAttempts = 1
        configuration.confirmationLimit = .seconds(1_000)
        return ProcessorMachine(configuration: configuration, now: .zero)
    }

    enum Step {
        case claim(Int)
        case start(Int)
        case end(Int, StreamID, succeeds: Bool)
        case takeCheckpoint(Int)
        case writeCheckpoint(Int)
    }

    static func steps(of world: World) -> [Step] {
        var steps: [Step] = []
        for process in 0...1 {
            // Once each, the first one first: the second takes it over while the first may still handle.
            if world.machines[process].mayClaim(0), world.shared.claim == process {
                steps.append(.claim(process))
            }
            var machine = world.machines[process]
            if machine.nextStart(now: .zero) != nil { steps.append(.start(process)) }
            for id in world.runs[process].keys.sorted() {
                steps.append(.end(process, id, succeeds: true))
                if process == 0, id == 1 { steps.append(.end(process, id, succeeds: false)) }
            }
            if world.pending[process] == nil {
                var machine = world.machines[process]
                if let checkpoint = machine.takeCheckpoints().first {
                    // The one that has the last claim checkpoints when it is done.
                    let isLast = checkpoint.claim == 2
                    if !isLast || world.runs[process].isEmpty { steps.append(.takeCheckpoint(process)) }
                }
            } else {
                steps.append(.writeCheckpoint(process))
            }
        }
        return steps
    }

    static func take(_ step: Step, _ world: inout World) {
        switch step {
        case .claim(let process):
            world.shared.claim += 1
            world.shared.owner = process
            world.told[process].claim = world.shared.claim
            world.told[process].claimedAt = world.shared.position
            world.machines[process].claimed(
                ProcessorMachine.Claimed(
                    partition: 0, claim: world.shared.claim, position: world.shared.position, delivered: nil,
                    passed: nil, uncleanThrough: nil))
            guard let place = world.machines[process].nextRead()?.after else { return }
            let events = keys.keys.sorted().filter { $0 > place }.map {
                EventToHandle(id: $0, mark: CommitMark(1), key: keys[$0])
            }
            _ = world.machines[process].read(
                after: place, events, through: 3, snapshot: SnapshotMark(newestCommit: 1))
        case .start(let process):
            guard let start = world.machines[process].nextStart(now: .zero) else { return }
            // No two handlers of one key under one claim, nor one before another that comes first.
            let sameKey = world.runs[process].filter { $0.value.claim == start.claim && keys[$0.key] == keys[start.id] }
            #expect(sameKey.isEmpty)
            let before = keys.keys.filter { $0 < start.id && keys[$0] == keys[start.id] }
            #expect(
                before.allSatisfy {
                    $0 <= world.shared.position || world.shared.handled.contains($0) || world.failed(process, $0)
                })
            world.runs[process][start.id] = (start.run, start.claim)
        case .end(let process, let id, let succeeds):
            guard let run = world.runs[process].removeValue(forKey: id) else { return }
            if succeeds { world.shared.handled.insert(id) } else { world.failures[process].insert(id) }
            world.told[process].ended[id] = succeeds
            world.machines[process].ended(run.run, succeeds ? .succeeded : .failed("no"), now: .zero)
        case .takeCheckpoint(let process):
            world.pending[process] = world.machines[process].takeCheckpoints().first
        case .writeCheckpoint(let process):
            guard let checkpoint = world.pending[process] else { return }
            world.pending[process] = nil
            let isOwned = checkpoint.claim == world.shared.claim
            if isOwned, let passage = checkpoint.passage {
                world.shared.position = max(world.shared.position, passage.position)
                world.shared.parked.formUnion(passage.parked.map(\.id))
                // The checkpoint is never above an event that is neither handled nor parked.
                for id in keys.keys where id <= world.shared.position {
                    #expect(world.shared.handled.contains(id) || world.shared.parked.contains(id))
                }
            }
            world.told[process].checkpoints[checkpoint.passage?.position] = isOwned
            world.machines[process].checkpointed(checkpoint, isOwned: isOwned)
        }
    }

    @Test func `in every order of a small case no key has two handlers, and no event is lost`() {
        var stack = [World(machines: [Self.newMachine(), Self.newMachine()])]
        var seen: Set<[AnyHashable]> = []
        var ends = 0
        while let world = stack.popLast() {
            let steps = Self.steps(of: world)
            if steps.isEmpty {
                ends += 1
                #expect(world.shared.position == 3)
                for id in Self.keys.keys {
                    #expect(world.shared.handled.contains(id) || world.shared.parked.contains(id))
                }
            }
            for step in steps {
                var next = world
                Self.take(step, &next)
                if seen.insert(next.signature).inserted { stack.append(next) }
            }
        }
        #expect(ends > 10 && seen.count > 1_000, "\(ends) ends, \(seen.count) worlds")
    }
}

extension ProcessorSearchTests.World {
    /// Whether the handler of this process has failed for it, so that it is parked.
    func failed(_ process: Int, _ id: StreamID) -> Bool { failures[process].contains(id) }
}
