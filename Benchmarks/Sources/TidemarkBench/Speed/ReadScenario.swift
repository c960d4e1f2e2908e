import PlainSQLite
import Tidemark
import TidemarkSQLite

/// How fast a background reader that is behind catches up, beside plain C that steps through the same rows.
struct ReadScenario {
    let options: BenchOptions

    func run(into report: inout Report) async throws {
        let folder = try ScenarioFolder(options)
        let path = folder.path("events.db")
        try await PlainDatabase.make(at: path)
        let plain = try PlainDatabase(path: path)
        let count = 40_000 * options.seconds
        for _ in 0..<count / 1_000 { try plain.persist(1_000) }
        let log = try await EventLog.open(SQLiteEventStore.open(path: path), stream: "events")
        // The writer of the plain loop has not announced anything: what it wrote is read from the database.
        let store = try await SQLiteEventStore.open(path: path)
        _ = try await store.closeWriter("events", instance: PlainDatabase.instance)
        try await log.reconcile()

        var result = Rounds()
        try await result.run(
            9,
            [
                { try await readEvents(log, count) },
                { try plain.readAll() },
                { try await readRaw(log, count) },
            ])
        report.set("read.raw.ratio", result.ratio(of: 2, to: 1))
        report.set("read.raw_events_per_s", result.rate(of: 2))
        report.set("read.events.ratio", result.ratio(of: 0, to: 1))
        report.set("read.events_per_s", result.rate(of: 0))
        report.set("read.plain_events_per_s", result.rate(of: 1))
        await log.shutDown()
    }

    /// Reads all events as values.
    private func readEvents(_ log: EventLog, _ count: Int) async throws -> Int {
        var seen = 0
        var sum = 0
        for try await batch in log.reader.events() {
            for event in batch.events {
                sum += event.event.payload.count + event.event.id.utf8.count
            }
            seen += batch.events.count
            if seen >= count { break }
        }
        guard seen == count, sum > 0 else { throw Failure("a reader saw \(seen) of \(count) events") }
        return seen
    }

    /// Looks at all events where they lie, at as much of them as the plain loop.
    private func readRaw(_ log: EventLog, _ count: Int) async throws -> Int {
        var seen = 0
        var sum: Int64 = 0
        var events = log.reader.rawEvents()
        while seen < count {
            let batch = try await events.next(into: Int64(0)) { sum, event in
                sum &+= Int64(event.id.count + event.type.count + (event.key?.count ?? 0) + event.payload.count)
                sum &+= Int64(event.id[0]) + Int64(event.type[0]) + Int64(event.key?[0] ?? 0) + Int64(event.payload[0])
                sum &+= event.streamID.rawValue + event.persistedAtMilliseconds + event.mark.rawValue
            }
            sum &+= batch.result
            seen += batch.count
        }
        guard seen == count, sum != 0 else { throw Failure("a raw reader saw \(seen) of \(count) events") }
        return seen
    }
}
