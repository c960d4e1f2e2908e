import Logging
import Synchronization
import Testing
import Tidemark
import TidemarkTesting

/// What holds for a sequence that may wait holds for one that never does.
@Suite struct ImmediateSequenceTests {
    private let p1 = Writer("p1", epoch: 1)
    private struct Failure: Error {}

    private func generator(_ sequence: CountingSequence, clock: ManualClock = ManualClock()) -> MultiWriterIDGenerator {
        MultiWriterIDGenerator(
            stream: "events", instance: "p1", sequence: sequence, members: [p1: 7], version: 1, direction: .forward,
            time: TimeSource(clock), logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    @Test func `a scope holds the position until it ends`() async throws {
        let generator = generator(CountingSequence(last: 7))
        let (id, inside) = try await generator.withNextID { ($0, generator.position(of: "p1")) }
        #expect(id == 8 && inside == 7)
        #expect(generator.minimumPersistedPosition == 8)
        #expect(try await generator.withNextIDs(3) { $0 } == [9, 10, 11])
        #expect(generator.minimumPersistedPosition == 11)
    }

    @Test func `while the sequence is asked the position stays at what was known`() async throws {
        let sequence = CountingSequence(last: 7)
        let generator = generator(sequence)
        let p2 = Writer("p2", epoch: 1)
        generator.updateMembers([p1: 7, p2: 7], version: 2)
        let seen = Mutex<StreamID?>(nil)
        sequence.onNext { [weak generator] in
            generator?.advance(p2, to: 40)
            seen.withLock { $0 = generator?.position(of: "p1") }
            return 41
        }
        try await generator.withNextID { #expect($0 == 41) }
        #expect(seen.withLock { $0 } == 7)
        #expect(generator.position(of: "p1") == 41)
    }

    @Test func `a scope that throws has its ID abandoned first`() async throws {
        let sequence = CountingSequence(last: 7)
        let generator = generator(sequence)
        await #expect(throws: Failure.self) { try await generator.withNextID { _ in throw Failure() } }
        #expect(sequence.abandoned == [8])
        #expect(generator.minimumPersistedPosition == 8)
    }

    @Test func `a scope that runs over its limit throws, and its ID is abandoned meanwhile`() async throws {
        let sequence = CountingSequence(last: 7)
        let clock = ManualClock()
        let generator = generator(sequence, clock: clock)
        await #expect(
            throws: TidemarkError.reservationExpired(
                stream: "events", instance: "p1", ids: [8], limit: .seconds(2))
        ) {
            try await generator.withNextID(timeLimit: .seconds(2)) { _ in
                clock.advance(by: .seconds(3))
                while generator.position(of: "p1") < 8 { await Task.yield() }
            }
        }
        #expect(sequence.abandoned == [8])
    }

    @Test func `an ID at or below what was known is an error, and the position goes on`() async throws {
        let sequence = CountingSequence(last: 3)
        let generator = generator(sequence)
        await #expect(throws: TidemarkError.sequenceWentBackwards(stream: "events", instance: "p1", id: 4, known: 7)) {
            try await generator.withNextID { _ in Issue.record("the body must not run") }
        }
        sequence.onNext { 20 }
        #expect(try await generator.withNextID { $0 } == 20)
        #expect(generator.position(of: "p1") == 20)
    }

    @Test func `a sequence that throws leaves nothing behind`() async throws {
        let sequence = CountingSequence(last: 7)
        let generator = generator(sequence)
        sequence.onNext { throw Failure() }
        await #expect(throws: Failure.self) { try await generator.withNextID { $0 } }
        generator.recordFinished([8, 9])
        #expect(generator.position(of: "p1") == 9)
    }

    @Test func `a task that was cancelled gets no ID`() async throws {
        let sequence = CountingSequence(last: 7)
        let generator = generator(sequence)
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return try await generator.withNextID { $0 }
        }
        await #expect(throws: CancellationError.self) { try await task.value }
        #expect(try await generator.withNextID { $0 } == 8)
    }

    @Test func `who is not a member gets no ID`() async throws {
        let generator = generator(CountingSequence(last: 7))
        generator.updateMembers([Writer("p2", epoch: 1): 7], version: 2)
        await #expect(throws: TidemarkError.notAMember(stream: "events", instance: "p1")) {
            try await generator.withNextID { $0 }
        }
    }
}

/// Counts up without ever waiting; a test says what the next answer is instead.
private final class CountingSequence: ImmediateStreamIDSequence {
    private struct State {
        var last: Int64
        var abandoned: [StreamID] = []
        var next: (@Sendable () throws -> StreamID)?
    }

    private let state: Mutex<State>

    init(last: Int64) { state = Mutex(State(last: last)) }

    var abandoned: [StreamID] { state.withLock { $0.abandoned } }

    func onNext(_ answer: @escaping @Sendable () throws -> StreamID) { state.withLock { $0.next = answer } }

    func nextImmediately() throws -> StreamID {
        if let next = state.withLock({ $0.next.take() }) { return try next() }
        return try nextImmediately(1)[0]
    }

    func nextImmediately(_ count: Int) throws -> [StreamID] {
        state.withLock { state in
            defer { state.last += Int64(count) }
            return (1...Int64(count)).map { StreamID(state.last + $0) }
        }
    }

    func abandon(_ ids: [StreamID]) async throws -> [StreamID] {
        state.withLock { $0.abandoned += ids }
        return []
    }
}
