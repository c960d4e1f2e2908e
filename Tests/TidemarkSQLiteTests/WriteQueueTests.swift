import Dispatch
import GRDB
import Logging
import Synchronization
import TestSupport
import Testing
import Tidemark
@testable import TidemarkSQLite

/// Where transactions run: on their caller's thread when nothing keeps them, on the connection's own otherwise.
@Suite struct WriteQueueTests {
    private static func queue(
        _ folder: TemporaryFolder, _ time: ManualTime = ManualTime(), fairnessTimeout: Duration = .seconds(60),
        after: @escaping WriteQueue.Timer = WriteQueue.systemTimer
    ) throws -> WriteQueue {
        let pool = try DatabasePool(path: folder.database)
        let identity = try #require(FileIdentity(path: folder.database))
        let lock = WriteLock(
            ofDatabase: folder.database, files: OpenFiles(folder.database, database: identity),
            errors: SQLiteErrors(store: folder.database, busyTimeout: .seconds(30)))
        return WriteQueue(
            pool: pool, store: folder.database, turn: try WriteTurn(directory: folder.path), lock: lock,
            limits: .init(turn: fairnessTimeout, wait: .seconds(30)), now: { time.now }, after: after)
    }

    private static func run(_ queue: WriteQueue) async {
        await withCheckedContinuation { continuation in
            queue.run { begun in
                // A transaction that never began says so to the test.
                #expect(throws: Never.self) { try begun.get().rollback() }
                return { continuation.resume() }
            }
        }
    }

    /// Runs a transaction on this thread; nil where it did not run.
    private static func here(_ queue: WriteQueue, _ body: () -> Bool = { true }) -> Bool? {
        queue.runHere { db in
            Result {
                defer { #expect(throws: Never.self) { try db.rollback() } }
                return body()
            }
        }.flatMap { try? $0.get() }
    }

    /// Until what ran last has given the connection back.
    private static func runHere(_ queue: WriteQueue) async throws {
        try await eventually("the connection free") { here(queue) == true }
    }

    @Test func `one runs here after a quick one, and not after a slow one`() async throws {
        let folder = try TemporaryFolder()
        let time = ManualTime()
        let queue = try Self.queue(folder, time)
        #expect(Self.here(queue) == nil, "nothing is known yet")
        await Self.run(queue)
        try await Self.runHere(queue)
        let slow = Self.here(queue) {
            time.advance(by: CallerThreadUse.quickTransaction + .microseconds(1))
            return true
        }
        #expect(slow == true)
        #expect(Self.here(queue) == nil)
    }

    @Test func `none runs here while another waits or another process has its turn`() async throws {
        let folder = try TemporaryFolder()
        let queue = try Self.queue(folder)
        await Self.run(queue)
        try await Self.runHere(queue)
        let other = try WriteTurn(directory: folder.path)
        other.take()
        #expect(Self.here(queue) == nil)
        other.release()
        #expect(Self.here(queue) { Self.here(queue) == nil } == true)
        #expect(Self.here(queue) == true)
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
        #expect(Self.here(queue) == nil)
        stopped.release()
        try await Self.runHere(queue)
        #expect(Self.here(queue) { stopped.takeIfFree() } == false)
    }

    @Test func `what is under way is waited for`() async throws {
        let folder = try TemporaryFolder()
        let queue = try Self.queue(folder)
        let written = Mutex(0)
        for _ in 0..<10 {
            queue.run { begun in
                #expect(throws: Never.self) { try begun.get().rollback() }
                written.withLock { $0 += 1 }
                return {}
            }
        }
        await queue.finish()
        #expect(written.withLock { $0 } == 10)
        await queue.finish()
        let refused = Mutex(false)
        queue.run { begun in { refused.withLock { $0 = (try? begun.get()) == nil } } }
        #expect(refused.withLock { $0 })
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

    // MARK: SQLite's lock

    /// Somebody who has SQLite's lock, without a turn.
    private static func holder(_ folder: TemporaryFolder) throws -> DatabaseQueue {
        var configuration = Configuration()
        configuration.allowsUnsafeTransactions = true
        let holder = try DatabaseQueue(path: folder.database, configuration: configuration)
        try holder.writeWithoutTransaction { try $0.execute(sql: "BEGIN IMMEDIATE") }
        return holder
    }

    /// What became of jobs, in the order in which they ended.
    private final class Outcomes: Sendable {
        private let ended = Mutex<[String]>([])
        var all: [String] { ended.withLock { $0 } }

        func job(_ name: String) -> WriteQueue.Job {
            { begun in
                let outcome: String
                do {
                    try begun.get().rollback()
                    outcome = name
                } catch TidemarkError.writeLockHeld(_, _, let limit) {
                    outcome = "\(name) waited \(limit)"
                } catch {
                    outcome = "\(name): \(error)"
                }
                return { self.ended.withLock { $0.append(outcome) } }
            }
        }
    }

    //  0 s    a, b
    //  10 s   c, and d, which has waited for 5 s elsewhere
    //  30 s   a and b have waited for long enough
    //  35 s   d has
    //  39 s   the lock is free
    @Test func `one wait for the lock serves all that wait, and each has a deadline of its own`() async throws {
        let folder = try TemporaryFolder()
        let time = ManualTime()
        let queue = try Self.queue(folder, time)
        await Self.run(queue)
        let holder = try Self.holder(folder)
        let outcomes = Outcomes()
        for name in ["a", "b"] { queue.run(outcomes.job(name)) }
        time.advance(by: .seconds(10))
        queue.run(outcomes.job("c"))
        queue.run(waited: .seconds(5), outcomes.job("d"))
        time.advance(by: .seconds(20))
        try await eventually { outcomes.all.count == 2 }
        #expect(outcomes.all == ["a waited 30.0 seconds", "b waited 30.0 seconds"])
        time.advance(by: .seconds(5))
        try await eventually { outcomes.all.count == 3 }
        #expect(outcomes.all.last == "d waited 30.0 seconds")
        time.advance(by: .seconds(4))
        try await holder.writeWithoutTransaction { try $0.execute(sql: "ROLLBACK") }
        try await eventually { outcomes.all.count == 4 }
        #expect(outcomes.all.last == "c")
    }

    // MARK: A transaction of this process

    /// Calls what was asked for when a test moves the time, and nothing by itself.
    private final class ManualTimer: Sendable {
        let time = ManualTime()
        private let waiting = Mutex<[(at: Duration, body: @Sendable () -> Void)]>([])

        var count: Int { waiting.withLock { $0.count } }

        func call(after delay: Duration, _ body: @escaping @Sendable () -> Void) {
            waiting.withLock { $0.append((time.now + delay, body)) }
        }

        func advance(by duration: Duration) {
            time.advance(by: duration)
            let due = waiting.withLock { waiting in
                defer { waiting.removeAll { $0.at <= time.now } }
                return waiting.filter { $0.at <= time.now }
            }
            for timer in due { timer.body() }
        }
    }

    private static func heldByThisProcess(_ error: any Error) -> Bool {
        guard case TidemarkError.writeLockHeld(_, let holder?, .seconds(30)) = error else { return false }
        return holder.hasPrefix("a transaction of this process")
    }

    //  0 s    a transaction begins
    //  10 s   a, which has waited for 5 s elsewhere, and b
    //  35 s   a has waited for long enough
    //  40 s   b has
    //  41 s   c
    //  50 s   the transaction ends
    @Test(arguments: [true, false])
    func `what waits behind a long transaction of this process has its deadline`(isOnCallersThread: Bool) async throws {
        let folder = try TemporaryFolder()
        let timer = ManualTimer()
        let queue = try Self.queue(folder, timer.time, after: { timer.call(after: $0, $1) })
        await Self.run(queue)
        try await Self.runHere(queue)
        #expect(timer.count == 0, "nobody who is alone needs a timer")
        let outcomes = Outcomes()
        let refused = Counter()
        @Sendable func job(_ begun: Result<Database, any Error>) -> () -> Void {
            if case .failure(let error) = begun, Self.heldByThisProcess(error) { refused.add() }
            return {}
        }
        @Sendable func duringTransaction() {
            timer.advance(by: .seconds(10))
            queue.run(waited: .seconds(5), job)
            queue.run(job)
            timer.advance(by: .seconds(24))
            #expect(refused.value == 0)
            timer.advance(by: .seconds(1))
            #expect(refused.value == 1)
            timer.advance(by: .seconds(5))
            #expect(refused.value == 2)
            timer.advance(by: .seconds(1))
            queue.run(outcomes.job("c"))
            timer.advance(by: .seconds(9))
        }
        if isOnCallersThread {
            let ran = Self.here(queue) {
                duringTransaction()
                return true
            }
            #expect(ran == true)
        } else {
            await withCheckedContinuation { continuation in
                queue.run { begun in
                    duringTransaction()
                    #expect(throws: Never.self) { try begun.get().rollback() }
                    return { continuation.resume() }
                }
            }
        }
        try await eventually { outcomes.all == ["c"] }
        timer.advance(by: .seconds(60))
        #expect(refused.value == 2)
        await queue.finish()
    }

    @Test func `a long transaction of the user's own fails what waits behind it, and says why`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open(.init(busyTimeout: .milliseconds(20)))
        let writer = try await store.join(stream, as: "p1").writer
        let began = Counter()
        let end = DispatchSemaphore(value: 0)
        let long = Task {
            try await store.write { _ in
                began.add()
                // Until the other one has failed.
                end.wait()
                return 7
            }
        }
        try await eventually { began.value == 1 }
        let error = await #expect(throws: TidemarkError.self) {
            try await store.persist(events("a"), in: stream, by: writer)
        }
        end.signal()
        #expect(error.map { "\($0)" }?.contains("a transaction of this process") == true)
        #expect(try await long.value == 7)
        #expect(try await store.persist(events("a"), in: stream, by: writer) == [.persisted(1)])
        await store.close()
    }

    // MARK: What is urgent, and what has gone

    @Test(arguments: [true, false])
    func `a heartbeat goes before what users asked for, with a turn or without`(hasTurn: Bool) async throws {
        let folder = try TemporaryFolder()
        let queue = try Self.queue(folder, fairnessTimeout: hasTurn ? .seconds(60) : .zero)
        await Self.run(queue)
        let stopped = try WriteTurn(directory: folder.path)
        if !hasTurn { stopped.take() }
        let holder = try Self.holder(folder)
        let outcomes = Outcomes()
        for number in 0..<5 { queue.run(outcomes.job("\(number)")) }
        queue.run(isUrgent: true, outcomes.job("beat"))
        try await holder.writeWithoutTransaction { try $0.execute(sql: "ROLLBACK") }
        try await eventually { outcomes.all.count == 6 }
        #expect(outcomes.all == ["beat", "0", "1", "2", "3", "4"])
        if !hasTurn { stopped.release() }
    }

    @Test func `what nobody waits for any more leaves the queue, and a queue that is empty does not wait`() async throws
    {
        let folder = try TemporaryFolder()
        let queue = try Self.queue(folder)
        await Self.run(queue)
        let holder = try Self.holder(folder)
        let outcomes = Outcomes()
        let numbers = (0..<200).map { queue.run(outcomes.job("\($0)")) }
        for number in numbers { queue.withdraw(number) }
        #expect(outcomes.all.count == 200 && outcomes.all.allSatisfy { $0.contains("Cancellation") })
        // The lock is held still.
        await queue.finish()
        try await holder.writeWithoutTransaction { try $0.execute(sql: "ROLLBACK") }
    }

    @Test func `scopes that gave up while the lock was held are not allocated later`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let log = try await EventLog.open(
            store, stream: stream, instance: "p1", logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let holder = try Self.holder(folder)
        await withTaskGroup { group in
            for number in 0..<50 {
                group.addTask {
                    let scope = Task {
                        try await log.withNextID(timeLimit: number % 2 == 0 ? .milliseconds(20) : .seconds(60)) { $0 }
                    }
                    if number % 2 == 1 { scope.cancel() }
                    await #expect(throws: (any Error).self) { try await scope.value }
                }
            }
        }
        try await holder.writeWithoutTransaction { try $0.execute(sql: "ROLLBACK") }
        #expect(try await log.withNextID { id in try await log.persist(events("a")[0], as: id) } == 1)
        await log.shutDown()
    }

    //  store                              somebody
    //                                     has the lock
    //  a write waits: is cancelled
    //                                     has it no more
    //  a write has begun: is cancelled
    //  says that it is written
    @Test func `a write that waits can be cancelled, and one that has begun tells what became of it`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        let holder = try Self.holder(folder)
        let waiting = Task { try await store.persist(events("a"), in: stream, by: writer) }
        waiting.cancel()
        await #expect(throws: CancellationError.self) { try await waiting.value }
        let beat = Task { try await store.beat(writer, at: 0) }
        beat.cancel()
        await #expect(throws: CancellationError.self) { try await beat.value }
        try await holder.writeWithoutTransaction { try $0.execute(sql: "ROLLBACK") }
        let task = Mutex<Task<Int, any Error>?>(nil)
        let started = Task {
            try await store.transact(mayRunHere: false) { _ in
                // The task that waits for this.
                while task.withLock({ $0 }) == nil {}
                task.withLock { $0 }?.cancel()
                return 7
            }
        }
        task.withLock { $0 = started }
        #expect(try await started.value == 7)
        #expect(try await store.all().isEmpty)
        await store.close()
    }
}
