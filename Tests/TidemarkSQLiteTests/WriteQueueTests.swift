import GRDB
import Synchronization
import TestSupport
import Testing
import Tidemark
@testable import TidemarkSQLite

/// Where transactions run: on their caller's thread when nothing keeps them, on the connection's own otherwise.
@Suite struct WriteQueueTests {
    private static func queue(
        _ folder: TemporaryFolder, _ time: ManualTime = ManualTime(), fairnessTimeout: Duration = .seconds(60)
    ) throws -> WriteQueue {
        WriteQueue(
            pool: try DatabasePool(path: folder.database), turn: try WriteTurn(directory: folder.path),
            fairnessTimeout: fairnessTimeout, now: { time.now })
    }

    private static func run(_ queue: WriteQueue) async {
        await withCheckedContinuation { continuation in
            queue.run { _ in { continuation.resume() } }
        }
    }

    /// Until what ran last has given the connection back.
    private static func runHere(_ queue: WriteQueue) async throws {
        try await eventually("the connection free") { queue.runHere { _ in true } == true }
    }

    @Test func `one runs here after a quick one, and not after a slow one`() async throws {
        let folder = try TemporaryFolder()
        let time = ManualTime()
        let queue = try Self.queue(folder, time)
        #expect(queue.runHere { _ in true } == nil, "nothing is known yet")
        await Self.run(queue)
        try await Self.runHere(queue)
        let slow: Bool? = queue.runHere { _ in
            time.advance(by: CallerThreadUse.quickTransaction + .microseconds(1))
            return true
        }
        #expect(slow == true)
        #expect(queue.runHere { _ in true } == nil)
    }

    @Test func `none runs here while another waits or another process has its turn`() async throws {
        let folder = try TemporaryFolder()
        let queue = try Self.queue(folder)
        await Self.run(queue)
        try await Self.runHere(queue)
        let other = try WriteTurn(directory: folder.path)
        other.take()
        #expect(queue.runHere { _ in true } == nil)
        other.release()
        #expect(queue.runHere { _ in queue.runHere { _ in true } == nil } == true)
        #expect(queue.runHere { _ -> Bool? in nil } == nil)
        #expect(queue.runHere { _ in true } == true)
    }

    //  stopped                    this process
    //  has the turn
    //                             waits for it, and writes without
    //                             writes without
    //  gives the turn back
    //                             has it again
    @Test func `a turn that does not come is done without, and taken again when it comes`() async throws {
        let folder = try TemporaryFolder()
        let queue = try Self.queue(folder, fairnessTimeout: .zero)
        await Self.run(queue)
        let stopped = try WriteTurn(directory: folder.path)
        stopped.take()
        for _ in 0..<3 { await Self.run(queue) }
        #expect(queue.runHere { _ in true } == nil)
        stopped.release()
        try await Self.runHere(queue)
        #expect(queue.runHere { _ in stopped.takeIfFree() } == false)
    }

    @Test func `what is under way is waited for`() async throws {
        let folder = try TemporaryFolder()
        let queue = try Self.queue(folder)
        let written = Mutex(0)
        for _ in 0..<10 {
            queue.run { _ in
                written.withLock { $0 += 1 }
                return {}
            }
        }
        await queue.finish()
        #expect(written.withLock { $0 } == 10)
        await queue.finish()
    }

    //  store                                  somebody without a turn
    //  persists, quickly
    //                                         BEGIN IMMEDIATE
    //  persists: SQLite's lock is not free,
    //  waits for it on its own thread
    //                                         COMMIT
    //  goes on
    @Test func `a lock that is not free is waited for, and not on the caller's thread`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let joined = try await store.join(stream, as: "p1")
        var configuration = Configuration()
        configuration.allowsUnsafeTransactions = true
        let somebody = try DatabaseQueue(path: folder.database, configuration: configuration)
        for number in 0..<20 {
            _ = try await store.persist(events(number..<number + 1), in: stream, by: joined.writer)
            try await somebody.writeWithoutTransaction { try $0.execute(sql: "BEGIN IMMEDIATE") }
            async let waiting = store.persist(events(100 + number..<101 + number), in: stream, by: joined.writer)
            for _ in 0..<20 { await Task.yield() }
            try await somebody.writeWithoutTransaction { try $0.execute(sql: "COMMIT") }
            #expect(try await waiting.count == 1)
        }
        #expect(try await store.all().count == 40)
    }
}
