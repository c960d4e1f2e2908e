import TestSupport
import Testing
import Tidemark
import TidemarkSQLite

/// Logs that run on a file of their own, and watch each other as processes do.
@Suite struct WatchingTests {
    @Test func `readers pass a writer whose process is gone`() async throws {
        let folder = try TemporaryFolder()
        let dead = try await folder.open()
        let store = try await folder.open()
        let lost = try await dead.join(stream, as: "p1").writer
        _ = try await dead.allocate(1, in: stream, for: lost)
        let log = try await EventLog.open(store, stream: stream, instance: "p2")
        let running = Task { try await log.run() }
        let id = try await log.persist(events("a")[0])
        // While its process lives it is waited for.
        try await log.reconcile()
        #expect(log.generator.minimumPersistedPosition == 0)
        await dead.close()
        // Well below the timeout after which it would be closed for its silence.
        #expect(try await log.waitUntilPersisted(id, timeout: .seconds(4)) == .reached)
        let closed = try await store.status(of: stream)?.writers.first { $0.writer == lost }
        #expect(closed?.isClosed == true && closed?.isMember == true)
        running.cancel()
        try await running.value
    }
}
