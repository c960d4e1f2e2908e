import PlainSQLite
import Synchronization
import Tidemark

/// What the bookkeeping of IDs costs, without any database: processor time of the whole process, so that other
/// processes do not count.
struct BookkeepingScenario {
    let options: BenchOptions
    /// For the orders that are drawn.
    private static let seed: UInt64 = 20_261_121

    func run(into report: inout Report) async throws {
        let rounds = 7
        var scopes: [Double] = []
        var waiting: [Double] = []
        var two: [Double] = []
        var many: [Double] = []
        var finishing: [Double] = []
        for _ in 0..<rounds {
            scopes.append(try await scope(on: MemorySequence(), times: 20_000 * options.seconds))
            waiting.append(try await scope(on: WaitingSequence(), times: 10_000 * options.seconds))
            two.append(advance(writers: 2, times: 100_000 * options.seconds))
            many.append(advance(writers: 4_096, times: 100_000 * options.seconds))
            finishing.append(finishInRandomOrder(count: 100_000))
        }
        report.set("generator.scope_ns", median(scopes))
        report.set("generator.waiting_scope_ns", median(waiting))
        report.set("generator.advance_ns.w2", median(two))
        report.set("generator.advance_ns.w4096", median(many))
        report.set("generator.advance_ns.w4096_over_w2", median(many) / median(two))
        report.set("generator.random_finish_ns", median(finishing))
        try await measureGrowth(ids: options.seconds >= 12 ? 10_000_000 : 1_000_000, into: &report)
    }

    /// A scope after the other on a sequence in memory; nanoseconds each.
    private func scope(on sequence: any StreamIDSequence, times: Int) async throws -> Double {
        let generator = MultiWriterIDGenerator(
            stream: "events", instance: "p1", sequence: sequence,
            members: [Writer("p1", epoch: 1): 0, Writer("p2", epoch: 1): 0])
        var last: StreamID = 0
        let start = MonotonicTime.processorTime
        for _ in 0..<times { last = try await generator.withNextID { $0 } }
        let nanoseconds = MonotonicTime.processorTime - start
        guard last.rawValue == Int64(times), generator.position(of: "p1") == last else {
            throw Failure("the generator handed out \(last) last")
        }
        return Double(nanoseconds) / Double(times)
    }

    /// Hears of positions of so many writers, each a little higher than the one before it; nanoseconds each.
    private func advance(writers: Int, times: Int) -> Double {
        // This instance only listens, so that all writers are others.
        let names = (0..<writers).map { Writer(InstanceName(stringLiteral: "writer-\($0)"), epoch: 1) }
        let generator = MultiWriterIDGenerator(
            stream: "events", instance: "reader", sequence: MemorySequence(),
            members: Dictionary(uniqueKeysWithValues: names.map { ($0, 0) }))
        var random = SeededRandom(seed: Self.seed)
        let order = (0..<times).map { _ in names[Int(random.next() % UInt64(writers))] }
        let start = MonotonicTime.processorTime
        for (number, writer) in order.enumerated() { generator.advance(writer, to: StreamID(Int64(number + 1))) }
        return Double(MonotonicTime.processorTime - start) / Double(times)
    }

    /// IDs in flight, all at once, that finish in a random order; nanoseconds to finish each.
    private func finishInRandomOrder(count: Int) -> Double {
        var random = SeededRandom(seed: Self.seed)
        let ids = (1...Int64(count)).map { StreamID($0) }
        // The value inside the generator, under a lock as there: a hundred thousand tasks would measure their switches.
        let tracker = Mutex(
            PositionTracker(
                instance: "p1", members: [Writer("p1", epoch: 1): 0, Writer("p2", epoch: 1): 0], version: 1)
        )
        tracker.withLock { tracker in
            do throws(AllocationFailure) {
                let fetch = try tracker.beginFetch()
                try tracker.endFetch(
                    fetch, with: ids, asked: count, scope: 1, since: .zero, deadline: .seconds(3_600))
            } catch {
                preconditionFailure("\(error)")
            }
        }
        let order = ids.shuffled(using: &random)
        let start = MonotonicTime.processorTime
        for id in order {
            let wasInFlight = tracker.withLock { $0.finish(id) }
            precondition(wasInFlight, "\(id) was not in flight")
        }
        let nanoseconds = MonotonicTime.processorTime - start
        precondition(tracker.withLock { $0.position } == StreamID(Int64(count)), "not everything has finished")
        return Double(nanoseconds) / Double(count)
    }

    /// Memory after so many IDs, while one writer has never said anything, another's IDs come with gaps, and a scope of
    /// this instance holds its ID: what it is more than after the first tenth.
    private func measureGrowth(ids: Int, into report: inout Report) async throws {
        let generator = MultiWriterIDGenerator(
            stream: "events", instance: "p1", sequence: MemorySequence(step: 4),
            members: [Writer("p1", epoch: 1): 0, Writer("p2", epoch: 1): 0, Writer("p3", epoch: 1): 0])
        let growth = try await generator.withNextID(timeLimit: .seconds(3_600)) { stuck in
            var before: Int64 = 0
            for number in 0..<ids {
                if number == ids / 10 { before = plain_allocated_bytes() }
                let id = try await generator.withNextID { $0 }
                generator.recordFinished([StreamID(id.rawValue + 2)])
                generator.advance(Writer("p3", epoch: 1), to: StreamID(id.rawValue + 2))
            }
            guard generator.minimumPersistedPosition < stuck else { throw Failure("a stuck writer was passed") }
            return plain_allocated_bytes() - before
        }
        report.set("generator.growth_ids", Double(ids))
        report.set("generator.growth_bytes", Double(growth))
    }
}

/// Counts up; never waits.
final class MemorySequence: ImmediateStreamIDSequence {
    private let last = Atomic<Int64>(0)
    private let step: Int64

    /// - Parameter step: above 1, others are given the IDs between.
    init(step: Int64 = 1) { self.step = step }

    func nextImmediately(_ count: Int) -> [StreamID] {
        let end = last.add(Int64(count) * step, ordering: .relaxed).newValue
        return (1 - Int64(count)...0).map { StreamID(end + $0 * step) }
    }

    func nextImmediately() -> StreamID {
        StreamID(last.add(step, ordering: .relaxed).newValue)
    }

    func abandon(_ ids: [StreamID]) async throws -> [StreamID] { [] }
}

/// The same counter, but known only as one that may wait.
struct WaitingSequence: StreamIDSequence {
    let counter = MemorySequence()

    func next(_ count: Int) async throws -> [StreamID] { counter.nextImmediately(count) }
    func abandon(_ ids: [StreamID]) async throws -> [StreamID] { [] }
}
