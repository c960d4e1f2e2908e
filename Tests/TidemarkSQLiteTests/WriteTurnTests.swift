import Foundation
import Synchronization
import TestSupport
import Testing
@testable import TidemarkSQLite

/// Two instances on the same files exclude each other as two processes do: an flock belongs to the open file.
@Suite struct WriteTurnTests {
    @Test func `a turn is taken at once when nobody has it, and again after it was released`() throws {
        let folder = try TemporaryFolder()
        let one = try WriteTurn(directory: folder.path)
        let two = try WriteTurn(directory: folder.path)
        let other = try WriteTurn(directory: folder.path)
        for turn in [one, two, two, one] {
            turn.take()
            #expect(!other.takeIfFree())
            turn.release()
        }
        #expect(other.takeIfFree())
    }

    //  one                        two
    //  take, gets the turn
    //                             take: gets "next", waits for the turn
    //  release
    //                             gets the turn
    //  takeIfFree: does not get it
    //                             release
    @Test func `who waits gets the turn when it is released, and who has just written does not get in front`()
        async throws
    {
        let folder = try TemporaryFolder()
        let one = try WriteTurn(directory: folder.path)
        let two = try WriteTurn(directory: folder.path)
        one.take()
        #expect(!one.isWanted)
        async let waited: Void = blocking { two.take() }
        while !one.isWanted { await Task.yield() }
        one.release()
        try await waited
        #expect(!one.takeIfFree())
        two.release()
        #expect(one.takeIfFree())
        one.release()
    }

    @Test func `of writers that never pause one has the turn at a time`() async throws {
        let folder = try TemporaryFolder()
        let holders = Holders()
        let clashes = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    let turn = try WriteTurn(directory: folder.path)
                    return try await blocking {
                        (0..<200).count { _ in
                            turn.take()
                            let isAlone = holders.count.add(1, ordering: .relaxed).oldValue == 0
                            sched_yield()
                            holders.count.subtract(1, ordering: .relaxed)
                            turn.release()
                            return !isAlone
                        }
                    }
                }
            }
            return try await group.reduce(0, +)
        }
        #expect(clashes == 0)
    }

    @Test func `who does not want to wait gets a turn that is free, and leaves nothing behind for one that is not`()
        throws
    {
        let folder = try TemporaryFolder()
        let one = try WriteTurn(directory: folder.path)
        let two = try WriteTurn(directory: folder.path)
        #expect(one.takeIfFree())
        #expect(!two.takeIfFree())
        #expect(!one.isWanted)
        one.release()
        #expect(two.takeIfFree())
        two.release()
    }

    private final class Holders: Sendable {
        let count = Atomic(0)
    }
}
