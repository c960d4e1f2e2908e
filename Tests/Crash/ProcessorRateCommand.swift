import ArgumentParser
import Foundation
import Synchronization
import TestSupport
import Tidemark
import TidemarkSQLite

/// How many events a second one process handles, partitions and checkpoints included, with a handler that does nothing.
struct ProcessorRateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "processor-rate", abstract: "Measures a processor whose handler does nothing.")

    @Option(help: "How many events there are.") var events = 500_000
    @Option(help: "How many keys they have; 0: none has a key.") var keys = 1_000
    @Option(help: "How many events a second there have to be.") var bar = 100_000.0

    func run() async throws {
        let folder = try TemporaryFolder()
        let store = try await SQLiteEventStore.open(path: folder.database)
        let log = try await EventLog.open(store, stream: Participant.stream, instance: "w1")
        try await log.persist(many: events) { number in
            Event(
                id: "e\(number)", type: "noted", key: keys > 0 ? "k\(number % keys)" : nil,
                payload: Array(repeating: 0x2A, count: 100))
        }
        let handled = Atomic(0)
        let worker = log.processor("worker") { _ in _ = handled.add(1, ordering: .relaxed) }
        let begin = ContinuousClock.now
        let task = Task { try await worker.run() }
        try await eventually("that all is passed", within: .seconds(300)) {
            let status = try await store.status(of: Participant.stream)
            return status?.consumers.first.map { $0.position >= StreamID(Int64(events)) } ?? false
        }
        let seconds = (ContinuousClock.now - begin) / .seconds(1)
        task.cancel()
        try await task.value
        await log.shutDown()
        await store.close()
        guard handled.load(ordering: .relaxed) == events else {
            throw Failure("\(handled.load(ordering: .relaxed)) events were handled, of \(events)")
        }
        let rate = Double(events) / seconds
        print("\(events) events, \(keys) keys: \(Int(rate)) a second")
        guard rate >= bar else { throw Failure("that is less than \(Int(bar))") }
    }
}
