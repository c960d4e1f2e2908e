import Synchronization
import Testing
import Tidemark
import TidemarkTesting

@testable import TidemarkPostgreSQL

@Suite(.enabled(if: TestCluster.isAvailable)) struct StoreConformanceTests {
    @Test(arguments: StoreConformance.checks)
    func `the store of PostgreSQL does what every store has to do`(_ check: StoreCheck) async throws {
        let configuration = try await TestCluster.newDatabase()
        let stores = Mutex<[PostgreSQLEventStore]>([])
        var failure: (any Error)?
        do {
            try await check.run {
                let store = try await PostgreSQLEventStore.open(configuration)
                stores.withLock { $0.append(store) }
                return store
            }
        } catch {
            failure = error
        }
        for store in stores.withLock({ $0 }) { await store.close() }
        if let failure { throw failure }
    }
}
