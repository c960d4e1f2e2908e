import Foundation
import Histogram
import Tidemark
import TidemarkPostgreSQL

/// Makes what plain loops write to.
enum PostgreSQLPlainTable {
    /// Tidemark's schema, whose table of events it copies, and the copy.
    static func make(at database: String) async throws -> PlainServer {
        let store = try await PostgreSQLEventStore.opened(at: database)
        await store.close()
        let plain = try PlainServer(address: database)
        try plain.make()
        return plain
    }
}

/// What four writer processes get done on one server that write without a pause, beside four plain loops that send prepared
/// inserts of the same rows together; and what a thousand callers of one process do beside one.
struct ServerRateScenario {
    static let batches = [1, 10, 100]
    private static let writers = 4
    private static let rounds = 5
    private static let callers = 1_000
    let server: BenchServer
    let options: BenchOptions

    func run(into report: inout Report) async throws {
        var found = report
        try await server.withDatabase { database in
            _ = try await PostgreSQLPlainTable.make(at: database)
            let ours = try (1...Self.writers).map { number in
                try ChildProcess(
                    name: "writer p\(number)",
                    arguments: [
                        "worker", "--instance", "p\(number)", "--database", database, "--mode",
                        "default", "--data",
                        options.data,
                    ])
            }
            let plain = try (1...Self.writers).map { number in
                try ChildProcess(
                    name: "plain loop \(number)",
                    arguments: ["plain-server", "--database", database, "--prefix", "p\(number)"])
            }
            defer { for child in ours + plain { child.end() } }
            for child in ours + plain { _ = try await child.lines(until: "ready") }
            for writer in ours { _ = try await writer.ask("members") }
            for batch in Self.batches { try await measure(batch, ours, plain, into: &found) }
        }
        try await server.withDatabase { try await measureCallers(at: $0, into: &found) }
        report = found
    }

    private func measure(
        _ batch: Int, _ ours: [ChildProcess], _ plain: [ChildProcess], into report: inout Report
    ) async throws {
        let seconds = Double(options.seconds) / 6
        var rates: [(ours: Double, plain: Double)] = []
        var waits: [Double] = []
        for round in 0..<Self.rounds {
            var rate = (ours: 0.0, plain: 0.0)
            for turn in 0..<2 {
                let isOurs = (round + turn).isMultiple(of: 2)
                let results = try await saturate(isOurs ? ours : plain, seconds: seconds, batch: batch)
                let events = Double(results.reduce(0) { $0 + $1.commits } * batch) / seconds
                if isOurs {
                    rate.ours = events
                    waits += results.map(\.p99)
                } else {
                    rate.plain = events
                }
            }
            rates.append(rate)
        }
        report.set("pg.rate.b\(batch).ratio", median(rates.map { $0.ours / $0.plain }))
        report.set("pg.rate.b\(batch).events_per_s", median(rates.map(\.ours)))
        report.set("pg.rate.b\(batch).plain_events_per_s", median(rates.map(\.plain)))
        report.set("pg.rate.b\(batch).p99_ms", (waits.max() ?? 0) / 1e6)
    }

    private func saturate(_ processes: [ChildProcess], seconds: Double, batch: Int) async throws -> [Saturation] {
        for process in processes { try process.send("saturate \(seconds) \(batch)") }
        var results: [Saturation] = []
        for process in processes {
            guard let line = try await process.lines(until: "done").first else {
                throw Failure("\(process.name) did not say how it went")
            }
            results.append(try Saturation(line: line))
        }
        return results
    }

    private func measureCallers(at database: String, into report: inout Report) async throws {
        let store = try await PostgreSQLEventStore.opened(at: database)
        let log = try await EventLog.open(store, instance: "p1")
        let service = Task { try await log.run() }
        let seconds = Double(options.seconds) / 3
        let one = try await Saturation.of(seconds: seconds) { number in
            try await log.persist(PlainEvents.make(number..<number + 1, prefix: "one"))
        }
        let oneRate = Double(one.commits) / seconds
        let end = MonotonicTime.now + Int64(seconds * 1e9)
        let start = MonotonicTime.now
        var waits = Histogram<UInt64>(highestTrackableValue: 60_000_000_000)
        try await withThrowingTaskGroup(of: [Int64].self) { group in
            for caller in 0..<Self.callers {
                group.addTask {
                    var waits: [Int64] = []
                    var number = caller
                    while MonotonicTime.now < end {
                        let before = MonotonicTime.now
                        try await log.persist(PlainEvents.make(number..<number + 1, prefix: "callers"))
                        waits.append(MonotonicTime.now - before)
                        number += Self.callers
                    }
                    return waits
                }
            }
            for try await ofCaller in group {
                for wait in ofCaller { _ = waits.record(UInt64(wait)) }
            }
        }
        let rate = Double(waits.totalCount) * 1e9 / Double(MonotonicTime.now - start)
        report.set("pg.callers1000.events_per_s", rate)
        report.set("pg.callers1000.one_caller_per_s", oneRate)
        report.set("pg.callers1000.speedup", rate / oneRate)
        report.setPercentiles("pg.callers1000", waits)
        service.cancel()
        try? await service.value
        await store.close()
    }
}

/// How fast a background reader that is behind catches up, beside a plain loop of SELECT over the same rows.
struct ServerReadScenario {
    let server: BenchServer
    let options: BenchOptions

    func run(into report: inout Report) async throws {
        var found = report
        try await server.withDatabase { database in
            let store = try await PostgreSQLEventStore.opened(at: database)
            let writer = try await EventLog.open(store, instance: "p1")
            let count = 10_000 * options.seconds
            for group in 0..<count / 1_000 {
                try await writer.persist(PlainEvents.make(group * 1_000..<(group + 1) * 1_000, prefix: "read"))
            }
            await writer.shutDown()
            let log = try await EventLog.open(store)
            try await log.reconcile()
            let plain = try PlainServer(address: database)
            // As after the first minute of a stream's life, whoever reads.
            try plain.run("VACUUM ANALYZE tidemark.events")
            let stream = try plain.ask("SELECT stream FROM tidemark.streams WHERE name = 'events'")
            let configuration = EventLogConfiguration()
            let (small, large) = (
                configuration.batchEvents, configuration.batchEvents * configuration.rawBatchFactor
            )
            var result = Rounds()
            try await result.run(
                9,
                [
                    { try await readEvents(log, count) },
                    { try plain.readAll(stream: Int(stream) ?? 0, batch: small) },
                    { try await readRaw(log, count) },
                    { try plain.readAll(stream: Int(stream) ?? 0, batch: large) },
                ])
            found.set("pg.read.ratio", result.ratio(of: 0, to: 1))
            found.set("pg.read.events_per_s", result.rate(of: 0))
            found.set("pg.read.plain_events_per_s", result.rate(of: 1))
            found.set("pg.read.raw.ratio", result.ratio(of: 2, to: 3))
            found.set("pg.read.raw_events_per_s", result.rate(of: 2))
            found.set("pg.read.raw_plain_events_per_s", result.rate(of: 3))
            await log.shutDown()
            await store.close()
        }
        report = found
    }

    /// Looks at all events where they lie, at as much of them as the plain loop, in batches of 8,000.
    private func readRaw(_ log: EventLog, _ count: Int) async throws -> Int {
        var seen = 0
        var batches = log.reader.rawEvents()
        while seen < count {
            let batch = try await batches.next(into: Int64(0)) { sum, event in
                sum &+= Int64(event.id.count + event.type.count + (event.key?.count ?? 0) + event.payload.count)
                sum &+= Int64(event.id[0]) + Int64(event.type[0]) + Int64(event.key?[0] ?? 0) + Int64(event.payload[0])
                sum &+= event.streamID.rawValue + event.persistedAtMilliseconds + event.mark.rawValue
            }
            guard batch.result != 0 else { throw Failure("a raw reader saw nothing") }
            seen += batch.count
        }
        guard seen == count else { throw Failure("a raw reader saw \(seen) of \(count) events") }
        return seen
    }

    private func readEvents(_ log: EventLog, _ count: Int) async throws -> Int {
        var seen = 0
        var sum = 0
        for try await batch in log.reader.events() {
            for event in batch.events { sum += event.event.payload.count + event.event.id.utf8.count }
            seen += batch.events.count
            if seen >= count { break }
        }
        guard seen == count, sum > 0 else { throw Failure("a reader saw \(seen) of \(count) events") }
        return seen
    }
}
