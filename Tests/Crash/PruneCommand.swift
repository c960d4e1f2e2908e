import ArgumentParser
import Foundation
import Synchronization
import TestSupport
import Tidemark
import TidemarkSQLite

/// How much writers notice of a prune, and what is said afterwards to a consumer, to a reader from the beginning and to whoever
/// audits.
struct PruneCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "prune", abstract: "Prunes a stream while writers write, and measures how long their events take.")

    @Option(help: "How many events there are.") var events = 2_000_000
    @Option(help: "How many of them are removed.") var pruned = 1_000_000
    @Option(help: "How many writers write, each with a store of its own.") var writers = 4
    @Option(help: "For how long they are measured before.") var seconds = 10
    @Option(help: "By how much the 99th percentile of the writers' events may grow; 0: it is only told.") var bar = 0.0

    func run() async throws {
        let folder = try TemporaryFolder()
        let store = try await SQLiteEventStore.open(path: folder.database)
        let log = try await EventLog.open(store, stream: Participant.stream, instance: "filler")
        try await log.persist(many: events) { number in
            Event(
                id: "e\(number)", type: "noted", key: "k\(number % 1_000)",
                payload: Array(repeating: 0x2A, count: 200))
        }
        let consumer = try await log.consumer("mailer")
        var batches = consumer.events.makeAsyncIterator()
        while let batch = try await batches.next() {
            try await consumer.checkpoint(batch)
            if batch.through >= StreamID(Int64(events)) { break }
        }
        await log.shutDown()
        let before = try size(of: folder)

        let load = Load()
        let measured = try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<writers {
                let path = folder.database
                group.addTask { try await load.write(as: InstanceName(validating: "w\(number)"), path) }
            }
            defer { load.stop() }
            // Writers join and get going; then what they do alone is measured, for as long as was asked for.
            try await Task.sleep(for: .seconds(2))
            load.begin()
            try await Task.sleep(for: .seconds(seconds))
            let alone = load.take()
            let began = ContinuousClock.now
            let result = try await store.prune(Participant.stream, .through(StreamID(Int64(pruned))))
            let took = ContinuousClock.now - began
            let beside = load.take()
            load.stop()
            try await group.waitForAll()
            return (alone, beside, result, took)
        }
        let (alone, beside, result, took) = measured
        try await check(store, result)
        await store.close()
        let after = try size(of: folder)
        print(
            "\(result.events) of \(events) events pruned in \(Figures.text(took / .seconds(1))) s beside \(writers) writers;"
                + " the file had \(before >> 20) MiB and has \(after >> 20)")
        print("before: \(alone.count) events, p50 \(text(alone, 0.5)) ms, p99 \(text(alone, 0.99)) ms")
        print("beside: \(beside.count) events, p50 \(text(beside, 0.5)) ms, p99 \(text(beside, 0.99)) ms")
        guard result.events == pruned, let space = result.space, space.givenBack > 0 else {
            throw Failure("the file gave no room back")
        }
        let factor = percentile(beside, 0.99) / percentile(alone, 0.99)
        if bar > 0, factor > bar { throw Failure("the 99th percentile grew to \(factor) times, more than \(bar)") }
        print("what follows the mark is there, and who is below is told so")
    }

    private func check(_ store: SQLiteEventStore, _ result: PruneResult) async throws {
        let log = try await EventLog.open(store, stream: Participant.stream, instance: nil)
        var reader = log.events().makeAsyncIterator()
        do {
            _ = try await reader.next()
            throw Failure("a reader from the beginning was told nothing")
        } catch TidemarkError.pruned(_, 0, result.through) {}
        var rest = log.events(after: result.through).makeAsyncIterator()
        guard let first = try await rest.next()?.events.first, first.streamID.rawValue == result.through.rawValue + 1
        else { throw Failure("the first event after the mark is not there") }
        do {
            _ = try await log.consumer("late")
            throw Failure("a consumer of the beginning was told nothing")
        } catch TidemarkError.pruned {}
        let audit = try await store.audit(Participant.stream, consumer: "mailer", limit: 10)
        guard audit.isComplete, audit.pruned == Int64(pruned), audit.delivered == Int64(events) else {
            throw Failure("the audit says: \(audit.findings), \(audit.pruned) pruned")
        }
        await log.shutDown()
    }

    private func size(of folder: TemporaryFolder) throws -> Int64 {
        let bytes = try FileManager.default.attributesOfItem(atPath: folder.database)[.size] as? Int64
        return bytes ?? 0
    }

    private func percentile(_ durations: [Duration], _ part: Double) -> Double {
        guard !durations.isEmpty else { return .infinity }
        let sorted = durations.sorted()
        return sorted[min(Int(Double(sorted.count) * part), sorted.count - 1)] / .milliseconds(1)
    }

    private func text(_ durations: [Duration], _ part: Double) -> String {
        String(format: "%.2f", percentile(durations, part))
    }

    /// Writers that write one event after the other.
    private final class Load: Sendable {
        private let state = Mutex<(isMeasuring: Bool, isStopped: Bool, took: [Duration])>((false, false, []))

        func begin() { state.withLock { $0.isMeasuring = true } }
        func stop() { state.withLock { $0.isStopped = true } }

        func take() -> [Duration] {
            state.withLock { state in
                defer { state.took = [] }
                return state.took
            }
        }

        func write(as instance: InstanceName, _ path: String) async throws {
            let store = try await SQLiteEventStore.open(path: path)
            let log = try await EventLog.open(store, stream: Participant.stream, instance: instance)
            let running = Task { try await log.run() }
            var number = 0
            while !state.withLock({ $0.isStopped }) {
                number += 1
                let began = ContinuousClock.now
                try await log.persist(
                    Event(id: "\(instance)-\(number)", type: "noted", payload: Array(repeating: 0x2A, count: 200)))
                let took = ContinuousClock.now - began
                state.withLock { if $0.isMeasuring { $0.took.append(took) } }
            }
            running.cancel()
            try await running.value
            await store.close()
        }
    }
}
