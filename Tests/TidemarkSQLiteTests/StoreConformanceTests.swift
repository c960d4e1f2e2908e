import TestSupport
import Testing
import Tidemark
import TidemarkSQLite
import TidemarkTesting

@Suite struct StoreConformanceTests {
    @Test(arguments: StoreConformance.checks)
    func `the store of SQLite does what every store has to do`(_ check: StoreCheck) async throws {
        let folder = try TemporaryFolder()
        try await check.run { try await folder.open() }
    }
}
