import Logging
import TestSupport
import Testing
import Tidemark
import TidemarkTesting

@Suite struct MultiWriterIDGeneratorTests {
    private let p1 = Writer("p1", epoch: 1)
    private let p2 = Writer("p2", epoch: 1)
    private struct Failure: Error {}

    private func generator(
        _ sequence: ScriptedSequence, members: [Writer: StreamID]? = nil, clock: ManualClock? = nil,
        direction: MultiWriterIDGenerator.Direction = .forward
    ) -> MultiWriterIDGenerator {
        MultiWriterIDGenerator(
            stream: "events", instance: "p1", sequence: sequence, members: members ?? [p1: 7, p2: 7], version: 1,
            direction: direction, time: clock.map { TimeSource($0) } ?? .continuous,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    @Test func `a scope holds the position until it ends`() async throws {
        let generator = generator(ScriptedSequence(last: 7), members: [p1: 7])
        let inside = try await generator.withNextID { id in
            #expect(id == 8)
            return generator.position(of: "p1")
        }
        #expect(inside == 7)
        #expect(generator.position(of: "p1") == 8)
        #expect(generator.minimumPersistedPosition == 8)
    }

    @Test func `several IDs ascend`() async throws {
        let generator = generator(ScriptedSequence(last: 7))
        let ids = try await generator.withNextIDs(3) { $0 }
        #expect(ids == [8, 9, 10])
        let none = try await generator.withNextIDs(0) { $0 }
        #expect(none.isEmpty)
    }

    @Test func `the least number is heard in a backward stream too`() async throws {
        let generator = generator(ScriptedSequence(last: 7), members: [p1: -7, p2: -7], direction: .backward)
        generator.advance(p2, to: StreamID(Int64.min))
        generator.recordFinished([StreamID(Int64.min)])
        #expect(generator.position(of: "p2") == StreamID(Int64.min + 1))
    }

    @Test func `a backward stream mirrors a forward one`() async throws {
        let generator = generator(ScriptedSequence(last: 7), members: [p1: -7, p2: -7], direction: .backward)
        let ids = try await generator.withNextIDs(2) { ids in
            #expect(generator.position(of: "p1") == -7)
            return ids
        }
        #expect(ids == [-8, -9])
        #expect(generator.position(of: "p1") == -9)
        generator.advance(p2, to: -20)
        #expect(generator.position(of: "p2") == -20)
        #expect(generator.minimumPersistedPosition == -20)
        generator.recordFinished([-21])
        #expect(generator.watermark == Watermark(minimum: -21, membershipVersion: 1))
        let sequence = ScriptedSequence(last: 0)
        let other = self.generator(sequence, members: [p1: 0], direction: .backward)
        await #expect(throws: Failure.self) {
            try await other.withNextID { id in
                #expect(id == -1)
                throw Failure()
            }
        }
        #expect(sequence.abandoned == [1])
    }

    // MARK: Scopes that fail

    @Test func `a scope that throws abandons its ID before the error goes on`() async throws {
        let sequence = ScriptedSequence(last: 7)
        let generator = generator(sequence, members: [p1: 7])
        await #expect(throws: Failure.self) {
            try await generator.withNextID { _ in throw Failure() }
        }
        #expect(sequence.abandoned == [8])
        #expect(generator.position(of: "p1") == 8)
    }

    /// Rule 5: only the database knows that an ID is given up.
    @Test func `an ID stays in flight until abandoning succeeds`() async throws {
        let clock = ManualClock()
        let sequence = ScriptedSequence(last: 7)
        sequence.set { $0.abandonFailures = 1 }
        let generator = generator(sequence, members: [p1: 7], clock: clock)
        await #expect(throws: Failure.self) {
            try await generator.withNextID { _ in throw Failure() }
        }
        #expect(generator.position(of: "p1") == 7)
        let before = generator.watermark
        await clock.waitForSleepers(1)
        clock.advance(by: .milliseconds(100))
        await generator.waitForChange(from: before)
        #expect(sequence.abandoned == [8])
        #expect(generator.position(of: "p1") == 8)
    }

    // MARK: Scopes that run over their limit

    /// The body runs on; its ID is abandoned and the position moves on; the scope throws when the body is done.
    @Test func `a scope that runs over its limit gives its ID up`() async throws {
        let clock = ManualClock()
        let sequence = ScriptedSequence(last: 7)
        let generator = generator(sequence, members: [p1: 7], clock: clock)
        let gate = Gate()
        let scope = Task {
            try await generator.withNextID(timeLimit: .seconds(2)) { _ in await gate.pass() }
        }
        await gate.arrivals()
        let before = generator.watermark
        await clock.waitForSleepers(1)
        clock.advance(by: .seconds(2))
        await generator.waitForChange(from: before)
        #expect(sequence.abandoned == [8])
        #expect(generator.position(of: "p1") == 8)
        gate.open()
        await #expect(
            throws: TidemarkError.reservationExpired(
                stream: "events", instance: "p1", ids: [8], limit: .seconds(2))
        ) { try await scope.value }
    }

    @Test func `a scope that ran over but had committed succeeds`() async throws {
        let clock = ManualClock()
        let sequence = ScriptedSequence(last: 7)
        sequence.set { $0.committed = [8] }
        let generator = generator(sequence, members: [p1: 7], clock: clock)
        let gate = Gate()
        let scope = Task {
            try await generator.withNextID(timeLimit: .seconds(2)) { id in
                await gate.pass()
                return id
            }
        }
        await gate.arrivals()
        let before = generator.watermark
        await clock.waitForSleepers(1)
        clock.advance(by: .seconds(2))
        await generator.waitForChange(from: before)
        gate.open()
        #expect(try await scope.value == 8)
    }

    // MARK: Fetches

    /// Rule 3: the answer comes after its time limit.
    @Test func `an answer that comes too late is abandoned`() async throws {
        let clock = ManualClock()
        let gate = Gate()
        let abandoned = Gate()
        abandoned.open()
        let sequence = ScriptedSequence(
            last: 7, beforeNext: { await gate.pass() }, beforeAbandon: { await abandoned.pass() })
        let generator = generator(sequence, members: [p1: 7, p2: 7], clock: clock)
        let scope = Task {
            try await generator.withNextID(timeLimit: .seconds(2)) { _ in Issue.record("the body ran") }
        }
        await gate.arrivals()
        generator.advance(p2, to: 20)
        #expect(generator.position(of: "p1") == 7)
        await clock.waitForSleepers(1)
        clock.advance(by: .seconds(2))
        await #expect(
            throws: TidemarkError.sequenceTimedOut(stream: "events", instance: "p1", limit: .seconds(2))
        ) { try await scope.value }
        #expect(generator.position(of: "p1") == 20)
        gate.open()
        await abandoned.arrivals()
    }

    @Test func `a caller that is cancelled does not wait for its ID`() async throws {
        let gate = Gate()
        let abandoned = Gate()
        abandoned.open()
        let sequence = ScriptedSequence(
            last: 7, beforeNext: { await gate.pass() }, beforeAbandon: { await abandoned.pass() })
        let generator = generator(sequence, members: [p1: 7])
        let scope = Task {
            try await generator.withNextID { _ in Issue.record("the body ran") }
        }
        await gate.arrivals()
        scope.cancel()
        await #expect(throws: CancellationError.self) { try await scope.value }
        gate.open()
        await abandoned.arrivals()
    }

    @Test func `a sequence that went backwards is an error`() async throws {
        let generator = generator(ScriptedSequence(last: 3))
        await #expect(
            throws: TidemarkError.sequenceWentBackwards(stream: "events", instance: "p1", id: 4, known: 7)
        ) { try await generator.withNextID { _ in } }
        #expect(generator.position(of: "p1") == 7)
    }

    @Test func `a reader only cannot allocate`() async throws {
        let generator = generator(ScriptedSequence(last: 7), members: [p2: 7])
        await #expect(throws: TidemarkError.notAMember(stream: "events", instance: "p1")) {
            try await generator.withNextID { _ in }
        }
    }

    @Test func `a scope that was closed after its commit succeeds`() async throws {
        let generator = generator(ScriptedSequence(last: 7))
        try await generator.withNextID { _ in
            generator.updateMembers([p1: 8, p2: 7], version: 1)
            #expect(generator.position(of: "p1") == 8)
        }
    }
}

extension MultiWriterIDGenerator {
    /// Returns when the watermark has changed.
    func waitForChange(from old: Watermark) async {
        while watermark == old { await Task.yield() }
    }
}
