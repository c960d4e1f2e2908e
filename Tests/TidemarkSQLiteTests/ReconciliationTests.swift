import TestSupport
import Testing
import Tidemark
import TidemarkSQLite

@Suite struct ReconciliationTests {
    @Test func `finished IDs come as ranges above the minimum, at most as many as asked for`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        let ids = try await store.allocate(9, in: stream, for: writer)
        _ = try await store.abandon([1, 2, 3, 7], in: stream, by: writer)
        for (index, event) in events("a", "b").enumerated() {
            _ = try await store.persist(event, as: [4, 8][index], in: stream, by: writer)
        }
        #expect(ids.count == 9)
        func ranges(above minimum: StreamID, _ limit: Int) async throws -> [ClosedRange<StreamID>]? {
            try await store.reconciliation(of: stream, above: minimum, limit: limit)?.finished
        }
        #expect(try await ranges(above: 0, 100) == [1...4, 7...8])
        #expect(try await ranges(above: 0, 5) == [1...4, 7...7])
        #expect(try await ranges(above: 2, 100) == [3...4, 7...8])
        #expect(try await ranges(above: 8, 100) == [])
        #expect(try await ranges(above: 0, 0) == [])
        let reconciliation = try await store.reconciliation(of: stream, above: 0, limit: 1)
        #expect(reconciliation?.sequence == 9)
        #expect(reconciliation?.newestCommitted == 8)
        #expect(reconciliation?.membership.members == [writer: 0])
    }
}
