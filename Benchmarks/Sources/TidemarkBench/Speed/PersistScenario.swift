import Histogram
import Synchronization
import Tidemark
import TidemarkSQLite

/// What a commit costs beside plain C that runs the same statements, and beside C that promises nothing.
struct PersistScenario {
    static let callers = 1_000
    let options: BenchOptions

    func run(into report: inout Report) async throws {
        let folder = try ScenarioFolder(options)
        try await PlainDatabase.make(at: folder.path("plain.db"))
        try await PlainDatabase.make(at: folder.path("bare.db"))
        let plain = try PlainDatabase(path: folder.path("plain.db"))
        let bare = try PlainDatabase(path: folder.path("bare.db"))
        let log = try await EventLog.open(
            SQLiteEventStore.open(path: folder.path("tidemark.db")), stream: "events", instance: "p1")
        let service = Task { try await log.run() }

        let oneCaller = try await measure(1, commits: 620 * options.seconds, log, plain, bare, into: &report)
        _ = try await measure(100, commits: 62 * options.seconds, log, plain, bare, into: &report)
        try await measureCallers(log, oneCaller: oneCaller, into: &report)
        service.cancel()
        try? await service.value
    }

    /// One caller, `batch` events a transaction; answers with events a second.
    private func measure(
        _ batch: Int, commits: Int, _ log: EventLog, _ plain: PlainDatabase, _ bare: PlainDatabase,
        into report: inout Report
    ) async throws -> Double {
        // Many and short: how long the disk takes to sync changes from one moment to the next.
        let rounds = 31
        var next = 0
        var groups: [[Event]] = []
        var result = Rounds()
        for _ in 0..<rounds {
            // Made before the clock starts: it is the commit that is measured.
            groups = (0..<commits / rounds).map { index in
                PlainEvents.make(next + index * batch..<next + (index + 1) * batch, prefix: "b\(batch)")
            }
            next += groups.count * batch
            try await result.run(
                1,
                [
                    {
                        for group in groups { try await log.persist(group) }
                        return groups.count * batch
                    },
                    {
                        for _ in groups { try plain.persist(batch) }
                        return groups.count * batch
                    },
                    {
                        for _ in groups { try bare.persist(batch, bare: true) }
                        return groups.count * batch
                    },
                ])
        }
        report.set("persist.b\(batch).ratio", result.ratio(of: 0, to: 1))
        report.set("persist.b\(batch).bare_ratio", result.ratio(of: 0, to: 2))
        report.set("persist.b\(batch).events_per_s", result.rate(of: 0))
        report.set("persist.b\(batch).plain_events_per_s", result.rate(of: 1))
        report.set("persist.b\(batch).bare_events_per_s", result.rate(of: 2))
        return result.rate(of: 0)
    }

    /// Many callers with one event each, again and again.
    private func measureCallers(_ log: EventLog, oneCaller: Double, into report: inout Report) async throws {
        let each = 10 * options.seconds
        // Ids that ascend as events come, as those of the one caller do.
        let events = (0..<Self.callers).map { caller in
            (0..<each).flatMap { turn in
                let number = turn * Self.callers + caller
                return PlainEvents.make(number..<number + 1, prefix: "callers")
            }
        }
        let start = MonotonicTime.now
        var waits = Histogram<UInt64>(highestTrackableValue: 60_000_000_000)
        try await withThrowingTaskGroup(of: [Int64].self) { group in
            for mine in events {
                group.addTask {
                    var waits: [Int64] = []
                    waits.reserveCapacity(mine.count)
                    for event in mine {
                        let before = MonotonicTime.now
                        try await log.persist(event)
                        waits.append(MonotonicTime.now - before)
                    }
                    return waits
                }
            }
            for try await ofCaller in group {
                for wait in ofCaller { _ = waits.record(UInt64(wait)) }
            }
        }
        let rate = Double(Self.callers * each) * 1e9 / Double(MonotonicTime.now - start)
        report.set("persist.callers1000.events_per_s", rate)
        report.set("persist.callers1000.speedup", rate / oneCaller)
        report.setPercentiles("persist.callers1000", waits)
    }
}
