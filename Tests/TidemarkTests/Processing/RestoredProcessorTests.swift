import Logging
import Synchronization
import TestSupport
import Testing
import Tidemark
import TidemarkTesting

/// A backup is put back under a processor that runs.
@Suite(.timeLimit(.minutes(2))) struct RestoredProcessorTests {
    let store = InMemoryEventStore()

    private var position: StreamID? { store.database.streams["events"]?.consumers["worker"]?.position }

    private func open() async throws -> EventLog {
        try await EventLog.open(
            store, instance: "p1", logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    //  processor                     somebody
    //  passes a, with its claim
    //                                makes a copy
    //  passes b and c
    //                                puts the copy back, in which the claim is the same
    //  ends, with an error
    //  is started again              persists d, which has the ID that b had
    //  is given d
    @Test func `a processor that has passed more than a backup has ends, and skips nothing after a restart`()
        async throws
    {
        let calls = Calls()
        let log = try await open()
        try await log.persist(Event(id: "a", type: "t", key: "k"))
        var configuration = ProcessorConfiguration(partitions: 2)
        configuration.silenceTimeout = .seconds(1)
        configuration.checkpointInterval = .milliseconds(1)
        let worker = log.processor("worker", configuration: configuration) { calls.add($0) }
        let ended = Mutex<(any Error)?>(nil)
        let run = Task {
            do { try await worker.run() } catch { ended.withLock { $0 = error } }
        }
        try await eventually("a is passed") { position == 1 }
        let copy = store.database
        try await log.persist([Event(id: "b", type: "t", key: "k"), Event(id: "c", type: "t", key: "l")])
        try await eventually("all are passed") { position == 3 }
        store.restore(copy)
        try await eventually("it ends") { ended.withLock { $0 != nil } }
        #expect(
            (ended.withLock { $0 } as? TidemarkError)?.kind == .final, "\(String(describing: ended.withLock { $0 }))")
        await run.value
        await log.shutDown()

        let again = try await open()
        try await again.persist(Event(id: "d", type: "t", key: "k"))
        let next = again.processor("worker", configuration: configuration) { calls.add($0) }
        try await next.running { try await eventually("d is passed") { position == 2 } }
        #expect(calls.ids.sorted() == ["a", "b", "c", "d"])
        await again.shutDown()
    }
}
