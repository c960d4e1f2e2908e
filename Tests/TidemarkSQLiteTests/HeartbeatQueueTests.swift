import GRDB
import Testing
import Tidemark
@testable import TidemarkSQLite

@Suite struct HeartbeatQueueTests {
    @Test func `who finds a write scheduled does not schedule another, and shares its transaction`() async throws {
        // A writer that has joined, and a database that knows nothing of it.
        let unknown = TidemarkError.databaseWentBackwards(
            stream: stream, id: 0, problem: "it knows nothing of p1#1")
        let database = try DatabaseQueue()
        try await database.write { try $0.execute(sql: Schema.sql) }
        let queue = HeartbeatQueue()
        let beat = Heartbeat(stream: stream, writer: Writer("p1", epoch: 1), position: 0)
        let scheduled = Counter()
        let transactions = Counter()
        await withTaskGroup { group in
            for _ in 0..<3 {
                group.addTask {
                    await #expect(throws: unknown) {
                        try await withCheckedThrowingContinuation { continuation in
                            let request = HeartbeatQueue.Request(
                                number: queue.makeNumber(), beats: [beat], continuation: continuation)
                            if queue.add(request) { scheduled.add() }
                        }
                    }
                }
            }
            while queue.count < 3 { await Task.yield() }
            queue.write(HeartbeatWrite(store: "x.db", now: 0, processFile: nil)) { body in
                transactions.add()
                return try database.write { try body($0) }
            }
        }
        #expect(scheduled.value == 1)
        #expect(transactions.value == 1)
    }

    @Test func `a transaction that does not begin fails all that wait, and the next beat schedules again`() async throws
    {
        let queue = HeartbeatQueue()
        for _ in 0..<2 {
            await #expect(throws: TidemarkError.readOnly(store: "x.db")) {
                try await withCheckedThrowingContinuation { continuation in
                    #expect(queue.add(.init(number: queue.makeNumber(), beats: [], continuation: continuation)))
                    queue.write(HeartbeatWrite(store: "x.db", now: 0, processFile: nil)) { _ in
                        throw TidemarkError.readOnly(store: "x.db")
                    }
                }
            }
        }
    }

    @Test func `a beat that is cancelled leaves the queue, and the last one takes the write with it`() async throws {
        let queue = HeartbeatQueue()
        await withTaskGroup { group in
            for number in 1...2 {
                group.addTask {
                    await #expect(throws: CancellationError.self) {
                        try await withCheckedThrowingContinuation { continuation in
                            _ = queue.add(.init(number: number, beats: [], continuation: continuation))
                        }
                    }
                }
            }
            while queue.count < 2 { await Task.yield() }
            queue.isScheduled(as: 7)
            #expect(queue.withdraw(1) == nil)
            #expect(queue.withdraw(2) == 7)
            #expect(queue.withdraw(2) == nil)
        }
        await #expect(throws: CancellationError.self) {
            try await withCheckedThrowingContinuation { continuation in
                #expect(queue.add(.init(number: 3, beats: [], continuation: continuation)), "another is scheduled")
                queue.isScheduled(as: 8)
                #expect(queue.withdraw(3) == 8)
            }
        }
    }
}
