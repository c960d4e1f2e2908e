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
            turn.release()
        }
    }

    @Test func `who waits gets the turn when it is released`() async throws {
        let folder = try TemporaryFolder()
        let one = try WriteTurn(directory: folder.path)
        let two = try WriteTurn(directory: folder.path)
        #expect(one.take(within: .zero))
        async let taken = try blocking { two.take(within: Self.long) }
        try await Self.untilLocked(folder.path + "/next.lock")
        one.release()
        #expect(try await taken)
        two.release()
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
        one.release()
        #expect(try await waited)
        #expect(!one.take(within: .milliseconds(1)))
        two.release()
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
        other.release()
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
        turn.release()
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
                            turn.release()
                            return true
                        }
                    }
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(counts == [200, 200, 200, 200])
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
