import Testing
import TidemarkTesting

@testable import Tidemark

/// Scopes of many IDs at once.
@Suite(.timeLimit(.minutes(1))) struct LargeScopeTests {
    let scene = EventPersisterTests()

    @Test func `a scope of very many IDs of which none was acknowledged ends as quickly as one whose all were`()
        async throws
    {
        // With a comparison of each with each this takes four minutes, and runs over the limit of a hang.
        let log = try await scene.open()
        let count = 60_000
        try await log.withNextIDs(count) { #expect($0.count == count) }
        #expect(log.generator.inFlightCount == 0)
        #expect(log.generator.minimumPersistedPosition == StreamID(Int64(count)))
        await log.shutDown()
    }
}
