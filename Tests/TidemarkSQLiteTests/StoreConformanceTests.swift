import TestSupport
import Testing
import Tidemark
import TidemarkSQLite
import TidemarkTesting

@Suite struct StoreConformanceTests {
    @Test(arguments: StoreConformance.checks)
    func `the store of SQLite does what every store has to do`(_ check: StoreCheck) async throws {
        let folder = try TemporaryFolder()
        let fixture = StoreFixture(
            open: { try await folder.open() },
            endProcess: { await ($0 as? SQLiteEventStore)?.close() },
            backUp: {
                let backup = try folder.backUp()
                return { try folder.restore(backup) }
            })
        try await check.run(fixture)
    }
}
