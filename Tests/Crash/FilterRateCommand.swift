import ArgumentParser
import Foundation
import TestSupport
import Tidemark
import TidemarkSQLite

/// A consumer that is far behind, with a filter that lets few events through, beside one that is given all and discards them.
struct FilterRateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "filter-rate", abstract: "Measures a filter in the database beside one in the program.")

    @Option(help: "How many events there are.") var events = 10_000_000
    @Option(help: "One in so many passes the filter.") var oneIn = 1_000
    @Option(help: "How many times as fast the filter in the database has to be.") var bar = 3.0

    func run() async throws {
        let folder = try TemporaryFolder()
        let store = try await SQLiteEventStore.open(path: folder.database)
        let log = try await EventLog.open(store, stream: Participant.stream, instance: "w1")
        try await log.persist(many: events) { number in
            Event(
                id: "e\(number)", type: number % oneIn == 0 ? "wanted" : "noted",
                payload: Array(repeating: 0x2A, count: 100))
        }
        print("\(events) events are there; the process has \(Self.megabytes) MB")
        let all = try await log.consumer("all")
        let (discarding, wanted) = try await read(all) { $0.event.type == "wanted" }
        let memoryOfAll = Self.megabytes
        let some = try await log.consumer("some", filter: .types(["wanted"]))
        let (filtering, found) = try await read(some) { _ in true }
        await log.shutDown()
        await store.close()
        let expected = (events + oneIn - 1) / oneIn
        guard wanted == expected, found == expected else {
            throw Failure("\(found) and \(wanted) events were found, of \(expected)")
        }
        print("all, and discarded: \(Figures.text(discarding)) s, at most \(memoryOfAll) MB")
        print("filtered in the database: \(Figures.text(filtering)) s, at most \(Self.megabytes) MB")
        let times = discarding / filtering
        print("that is \(String(format: "%.1f", times)) times as fast")
        guard times >= bar else { throw Failure("that is less than \(bar)") }
    }

    /// Reads all there is; how many seconds that took, and how many events were wanted.
    private func read(
        _ consumer: DurableConsumer, _ isWanted: (PersistedEvent) -> Bool
    ) async throws -> (seconds: Double, wanted: Int) {
        let begin = ContinuousClock.now
        var wanted = 0
        for try await batch in consumer.events {
            wanted += batch.events.count(where: isWanted)
            try await consumer.checkpoint(batch)
            // What is left out at the end is passed with the last batch that has something, or without any.
            if batch.through.rawValue > Int64(events) - Int64(oneIn) { break }
        }
        return ((ContinuousClock.now - begin) / .seconds(1), wanted)
    }

    /// The most that the process has had since it began, as Linux tells; 0 elsewhere.
    private static var megabytes: Int {
        let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
        return (line?.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) / 1_024
    }
}
