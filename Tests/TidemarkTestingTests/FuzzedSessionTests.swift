import SessionFuzz
import Testing
import Tidemark

/// A few of the sessions that `scripts/fuzz` runs by the million.
@Suite(.timeLimit(.minutes(2))) struct FuzzedSessionTests {
    @Test(arguments: 0..<200) func `a peer that says anything does no harm`(seed: UInt64) async throws {
        var random = SplitMix64(seed: seed)
        let input = (0..<Int.random(in: 1...200, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
        try await FuzzedSession.run(input)
    }

    @Test func `a long session of lies does no harm`() async throws {
        // Every member lies, and in between everybody writes, reads and asks the database.
        let steps: [UInt8] = [9, 2, 4, 10, 2, 7, 0, 5, 2, 9, 0, 1, 10, 1, 6, 3, 13, 4, 15, 8, 7, 200]
        try await FuzzedSession.run((0..<40).flatMap { _ in steps })
    }
}
