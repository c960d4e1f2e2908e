import Testing
import Tidemark
import TidemarkTesting

@Suite struct StoreConformanceTests {
    @Test(arguments: StoreConformance.checks)
    func `the store in memory does what every store has to do`(_ check: StoreCheck) async throws {
        let store = InMemoryEventStore()
        try await check.run { store }
    }

    @Test func `a store that acknowledges a group and loses it does not conform`() async throws {
        var failed: [String] = []
        for check in StoreConformance.checks {
            let store = InMemoryEventStore()
            store.setHook { [weak store] operation, moment in
                if operation == .persist, moment == .after { store?.restore(InMemoryDatabase()) }
            }
            do { try await check.run { store } } catch { failed.append(check.description) }
        }
        #expect(failed.contains("an event id that is there already writes nothing, in its own group too"))
        #expect(failed.contains("an event is found by its id, and a stream that is not there is not"))
        // Nobody persists a group in it.
        #expect(!failed.contains("whoever joins again with the same nonce gets the same epoch"))
    }
}
