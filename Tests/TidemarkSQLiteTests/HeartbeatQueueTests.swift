import Dispatch
import Foundation
import GRDB
import Synchronization
import TestSupport
import Testing
import Tidemark
@testable import TidemarkSQLite

@Suite struct HeartbeatQueueTests {
    private static let write = HeartbeatWrite(store: "x.db", now: 0, processFile: nil)

    /// The writes that a queue schedules, which are run by the test; the first has the place 101.
    private final class Writes: Sendable {
        private let scheduled = Mutex<[(number: Int, deadline: Duration)]>([])

        var deadlines: [Duration] { scheduled.withLock { $0.map(\.deadline) } }

        @Sendable func schedule(_ number: Int, _ deadline: Duration) -> Int {
            scheduled.withLock { scheduled in
                scheduled.append((number, deadline))
                return 100 + scheduled.count
            }
        }

        /// The number of the write at this place.
        func number(_ place: Int) -> Int { scheduled.withLock { $0[place - 101].number } }

        func fail(_ place: Int, _ error: any Error, _ queue: HeartbeatQueue) {
            queue.write(number(place), HeartbeatQueueTests.write, schedule: schedule) { _ in throw error }
        }
    }

    /// Waits for what becomes of a beat.
    private static func beat(
        _ queue: HeartbeatQueue, _ number: Int? = nil, _ beats: [Heartbeat] = [],
        until deadline: Duration = .seconds(30),
        schedule: HeartbeatQueue.Schedule
    ) async throws -> [HeartbeatAnswer] {
        try await withCheckedThrowingContinuation { continuation in
            queue.add(
                .init(
                    number: number ?? queue.makeNumber(), beats: beats, deadline: deadline, continuation: continuation),
                schedule: schedule)
        }
    }

    @Test func `who finds a write scheduled does not schedule another, and shares its transaction`() async throws {
        // A writer that has joined, and a database that knows nothing of it.
        let unknown = TidemarkError.databaseWentBackwards(
            stream: stream, id: 0, problem: "it knows nothing of p1#1")
        let database = try DatabaseQueue()
        try await database.write { try $0.execute(sql: Schema.sql) }
        let queue = HeartbeatQueue()
        let beat = Heartbeat(stream: stream, writer: Writer("p1", epoch: 1), position: 0)
        let writes = Writes()
        let transactions = Counter()
        await withTaskGroup { group in
            for _ in 0..<3 {
                group.addTask {
                    await #expect(throws: unknown) {
                        try await Self.beat(queue, nil, [beat], schedule: writes.schedule)
                    }
                }
            }
            while queue.count < 3 { await Task.yield() }
            queue.write(writes.number(101), Self.write, schedule: writes.schedule) { body in
                transactions.add()
                return try database.write { try body($0) }
            }
        }
        #expect(writes.deadlines.count == 1)
        #expect(transactions.value == 1)
    }

    @Test func `a transaction that does not begin fails all that wait, and the next beat schedules again`() async throws
    {
        let queue = HeartbeatQueue()
        let writes = Writes()
        for place in 101...102 {
            let beat = Task { try await Self.beat(queue, schedule: writes.schedule) }
            while queue.count < 1 { await Task.yield() }
            writes.fail(place, TidemarkError.readOnly(store: "x.db"), queue)
            await #expect(throws: TidemarkError.readOnly(store: "x.db")) { try await beat.value }
        }
    }

    @Test func `a write that cannot be scheduled fails its beat, and the next one tries again`() async throws {
        let queue = HeartbeatQueue()
        let tries = Counter()
        for _ in 0..<2 {
            await #expect(throws: TidemarkError.readOnly(store: "x.db")) {
                try await Self.beat(queue) { _, _ in
                    tries.add()
                    throw TidemarkError.readOnly(store: "x.db")
                }
            }
        }
        #expect(tries.value == 2 && queue.count == 0)
    }

    //  30 s   a may wait until then; the write is scheduled for it
    //  35 s   b, c
    //  40 s   d
    @Test func `beats that share a write have a deadline each`() async throws {
        let held = TidemarkError.writeLockHeld(store: "x.db", by: "somebody", limit: .seconds(30))
        let time = ManualTime()
        let queue = HeartbeatQueue(now: { time.now })
        let writes = Writes()
        let failed = Counter()
        await withTaskGroup { group in
            for (index, deadline) in [30, 35, 35, 40].enumerated() {
                group.addTask {
                    await #expect(throws: held) {
                        try await Self.beat(queue, until: .seconds(deadline), schedule: writes.schedule)
                    }
                    failed.add()
                }
                while queue.count < index + 1 { await Task.yield() }
            }
            #expect(writes.deadlines == [.seconds(30)])
            time.advance(by: .seconds(30))
            writes.fail(101, held, queue)
            #expect(queue.count == 3 && writes.deadlines == [.seconds(30), .seconds(35)])
            time.advance(by: .seconds(5))
            writes.fail(101, held, queue)
            #expect(queue.count == 3, "that write is over")
            writes.fail(102, held, queue)
            #expect(queue.count == 1 && writes.deadlines == [.seconds(30), .seconds(35), .seconds(40)])
            time.advance(by: .seconds(5))
            writes.fail(103, held, queue)
        }
        #expect(failed.value == 4 && queue.count == 0 && writes.deadlines.count == 3)
    }

    @Test func `who may wait on fails too where nothing can be scheduled any more`() async throws {
        let held = TidemarkError.writeLockHeld(store: "x.db", by: nil, limit: .seconds(30))
        let closed = TidemarkError.storeUnavailable(store: "x.db", problem: "it was closed")
        let queue = HeartbeatQueue(now: { .seconds(30) })
        let writes = Writes()
        let first = Task { try await Self.beat(queue, until: .seconds(30), schedule: writes.schedule) }
        while queue.count < 1 { await Task.yield() }
        let second = Task { try await Self.beat(queue, until: .seconds(31), schedule: writes.schedule) }
        while queue.count < 2 { await Task.yield() }
        queue.write(writes.number(101), Self.write, schedule: { _, _ in throw closed }, in: { _ in throw held })
        await #expect(throws: held) { try await first.value }
        await #expect(throws: closed) { try await second.value }
    }

    @Test func `a beat that is cancelled leaves the queue, and the last one takes the write with it`() async throws {
        let queue = HeartbeatQueue()
        let writes = Writes()
        await withTaskGroup { group in
            for number in [-1, -2] {
                group.addTask {
                    await #expect(throws: CancellationError.self) {
                        try await Self.beat(queue, number, schedule: writes.schedule)
                    }
                }
            }
            while queue.count < 2 { await Task.yield() }
            #expect(queue.withdraw(-1) == nil)
            #expect(queue.withdraw(-2) == 101)
            #expect(queue.withdraw(-2) == nil)
        }
        let next = Task { try await Self.beat(queue, -3, schedule: writes.schedule) }
        while queue.count < 1 { await Task.yield() }
        #expect(queue.withdraw(-3) == 102, "another is scheduled")
        await #expect(throws: CancellationError.self) { try await next.value }
    }

    //  one who beats                    another
    //  schedules a write
    //  is cancelled: takes it back
    //                                   schedules a write
    //  the first write is told so
    //                                   waits on
    @Test func `a write that was taken back fails nobody who came later`() async throws {
        let queue = HeartbeatQueue()
        let writes = Writes()
        let first = Task { try await Self.beat(queue, -1, schedule: writes.schedule) }
        while queue.count < 1 { await Task.yield() }
        #expect(queue.withdraw(-1) == 101)
        let second = Task { try await Self.beat(queue, -2, schedule: writes.schedule) }
        while queue.count < 1 { await Task.yield() }
        writes.fail(101, CancellationError(), queue)
        #expect(queue.count == 1)
        #expect(queue.withdraw(-2) == 102)
        await #expect(throws: CancellationError.self) { try await first.value }
        await #expect(throws: CancellationError.self) { try await second.value }
    }

    //  one who beats                    thread that writes
    //  schedules a write
    //                                   begins it at once
    //  is in the queue
    //                                   takes the beat
    @Test func `a write that begins at once takes the beat that scheduled it`() async throws {
        let database = try DatabaseQueue()
        try await database.write { try $0.execute(sql: Schema.sql) }
        let queue = HeartbeatQueue()
        let answers = try await Self.beat(queue) { number, _ in
            let begun = DispatchSemaphore(value: 0)
            let thread = Thread {
                queue.write(number, Self.write, schedule: { _, _ in 0 }) { body in
                    try database.write { db in
                        begun.signal()
                        return try body(db)
                    }
                }
            }
            thread.start()
            begun.wait()
            return 101
        }
        #expect(answers.isEmpty && queue.count == 0)
    }
}
