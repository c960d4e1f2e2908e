import Dispatch
import TestSupport
import Testing
@testable import TidemarkSQLite

/// Two instances on the same files exclude each other as two processes do: an flock belongs to the open file.
@Suite struct WriteTurnTests {
    private static let long = Duration.seconds(60)

    @Test func `a turn is taken at once when nobody has it, and again after it was released`() throws {
        let folder = try TemporaryFolder()
        let one = try WriteTurn(directory: folder.path)
        let two = try WriteTurn(directory: folder.path)
        for turn in [one, two, two, one] {
            #expect(turn.take(within: .zero))
            #expect(turn.release() == nil)
        }
    }

    @Test func `who waits gets the turn when it is released`() async throws {
        let folder = try TemporaryFolder()
        let one = try WriteTurn(directory: folder.path)
        let two = try WriteTurn(directory: folder.path)
        #expect(one.take(within: .zero))
        async let taken = try blocking { two.take(within: Self.long) }
        try await Self.untilLocked(folder.path + "/next.lock")
        _ = one.release()
        #expect(try await taken)
        _ = two.release()
    }

    //  one                        two
    //  take, gets the turn
    //                             take: gets "next", waits for the turn
    //  release
    //                             gets the turn
    //  take: does not get it
    //                             release
    @Test func `who has just written does not get in front of who waits`() async throws {
        let folder = try TemporaryFolder()
        let one = try WriteTurn(directory: folder.path)
        let two = try WriteTurn(directory: folder.path)
        #expect(one.take(within: .zero))
        async let waited = try blocking { two.take(within: Self.long) }
        try await Self.untilLocked(folder.path + "/next.lock")
        _ = one.release()
        #expect(try await waited)
        #expect(!one.take(within: .milliseconds(1)))
        _ = two.release()
    }

    @Test func `a turn that does not come in time is done without, and is not kept when it comes`() throws {
        let folder = try TemporaryFolder()
        let stopped = try FileLock(path: folder.path + "/turn.lock")
        let turn = try WriteTurn(directory: folder.path)
        stopped.lock()
        #expect(!turn.take(within: .milliseconds(1)))
        // The holder is likely stopped: the next transaction does not wait again.
        #expect(!turn.take(within: Self.long))
        stopped.unlock()
        // The thread that still queued releases what it gets.
        let other = try WriteTurn(directory: folder.path)
        #expect(other.take(within: Self.long))
        _ = other.release()
    }

    @Test func `a turn that was lost to a stopped holder can be taken again after it`() async throws {
        let folder = try TemporaryFolder()
        let stopped = try FileLock(path: folder.path + "/turn.lock")
        let turn = try WriteTurn(directory: folder.path)
        stopped.lock()
        #expect(!turn.take(within: .milliseconds(1)))
        stopped.unlock()
        while !turn.take(within: Self.long) { await Task.yield() }
        #expect(!stopped.tryLock())
        _ = turn.release()
        #expect(stopped.tryLock())
    }

    @Test func `turns go round between writers that never pause`() async throws {
        let folder = try TemporaryFolder()
        let counts = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    let turn = try WriteTurn(directory: folder.path)
                    return try await blocking {
                        (0..<200).count { _ in
                            guard turn.take(within: Self.long) else { return false }
                            _ = turn.release()
                            return true
                        }
                    }
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(counts == [200, 200, 200, 200])
    }

    //  one                                    two
    //  take, a large transaction
    //                                         take: gets "next", waits for the turn
    //  release: the turn is kept
    //  take: has it already
    //  … up to the bound, then release
    //                                         gets the turn
    @Test func `after large transactions a turn is kept for the next ones, up to a bound, while others wait`()
        async throws
    {
        let folder = try TemporaryFolder()
        let time = ManualTime()
        let one = try WriteTurn(directory: folder.path, now: { time.now })
        let two = try WriteTurn(directory: folder.path)
        #expect(one.take(within: .zero))
        async let waited = try blocking { two.take(within: Self.long) }
        try await Self.untilLocked(folder.path + "/next.lock")
        for _ in 1..<TurnLength.maximumTransactions {
            time.advance(by: .microseconds(400))
            #expect(one.release(rows: TurnLength.largeTransaction) == .microseconds(400) / TurnLength.waitFraction)
            #expect(one.take(within: .zero))
        }
        time.advance(by: .microseconds(400))
        #expect(one.release(rows: TurnLength.largeTransaction) == nil)
        #expect(try await waited)
        _ = two.release()
    }

    @Test func `a turn that was kept for nothing goes to who waits`() async throws {
        let folder = try TemporaryFolder()
        let time = ManualTime()
        let one = try WriteTurn(directory: folder.path, now: { time.now })
        let two = try WriteTurn(directory: folder.path)
        #expect(one.take(within: .zero))
        async let waited = try blocking { two.take(within: Self.long) }
        try await Self.untilLocked(folder.path + "/next.lock")
        time.advance(by: .microseconds(400))
        #expect(one.release(rows: TurnLength.largeTransaction) != nil)
        one.releaseKept()
        #expect(try await waited)
        _ = two.release()
        one.releaseKept()
        #expect(two.take(within: .zero), "what is not kept is not released")
        _ = two.release()
    }

    @Test func `nothing is kept from nobody`() throws {
        let folder = try TemporaryFolder()
        let time = ManualTime()
        let turn = try WriteTurn(directory: folder.path, now: { time.now })
        #expect(turn.take(within: .zero))
        time.advance(by: .microseconds(400))
        #expect(turn.release(rows: TurnLength.largeTransaction) == nil)
    }

    @Test func `who does not want to wait gets a turn that is free, and leaves nothing behind for one that is not`()
        throws
    {
        let folder = try TemporaryFolder()
        let one = try WriteTurn(directory: folder.path)
        let two = try WriteTurn(directory: folder.path)
        #expect(one.takeIfFree())
        #expect(!two.takeIfFree())
        let next = try FileLock(path: folder.path + "/next.lock")
        #expect(next.tryLock(), "nobody waits")
        next.unlock()
        one.releaseAtOnce()
        #expect(two.takeIfFree())
        two.releaseAtOnce()
    }

    /// Returns when somebody else holds the lock.
    private static func untilLocked(_ path: String) async throws {
        let lock = try FileLock(path: path)
        while lock.tryLock() {
            lock.unlock()
            await Task.yield()
        }
    }
}
