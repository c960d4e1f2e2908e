import Testing
import TidemarkTesting

@testable import Tidemark

/// What counts as agreement with the database.
@Suite struct ReconcilingTests {
    let scene = EventPersisterTests()

    @Test func `an attempt to reconcile that failed is not taken for one that was made`() async throws {
        let log = try await scene.open()
        let failure = TidemarkError.storeUnavailable(store: "memory", problem: "a test says so")
        try await log.generator.reconcile()
        scene.store.setHook { operation, moment in
            if operation == .reconciliation, moment == .before { throw failure }
        }
        try await log.generator.reconcile(ifOlderThan: .seconds(3600))
        for _ in 0..<2 {
            await #expect(throws: failure) { try await log.generator.reconcile(ifOlderThan: .zero) }
        }
        let other = try await scene.open("p2")
        for _ in 0..<2 {
            await #expect(throws: failure) { try await other.generator.reconcile(ifOlderThan: .seconds(3600)) }
        }
        scene.store.setHook(nil)
        for log in [log, other] { await log.shutDown() }
    }
}
