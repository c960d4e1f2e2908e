import GRDB
import Tidemark

extension CrashRun {
    /// What was done, and how long the minimum took.
    var summary: [String] {
        [
            "killed: \(kills["writers", default: 0]) writers, \(kills["readers", default: 0]) readers; stopped: "
                + "\(stops.seconds.count) times, for \(Figures.text(stops.maximum)) s at most",
            "the minimum passed killed writers: \(passed.summary); beside a stopped process: "
                + passedBesideStopped.summary,
        ]
    }

    /// Looks at everything that was written down, and at the database.
    ///
    /// - Returns: what it found, for people.
    func check() async throws -> [String] {
        let all = try await Self.allEvents(participant.open())
        let acknowledged = try Self.checkAcknowledgements(participant, writers: Self.writers, all: all)
        var lines = ["\(all.count) events, \(acknowledged) of them acknowledged"]
        for reader in Self.readers {
            var check = DeliveryCheck()
            for fields in try AppendedFile.lines(of: participant.deliveries(to: reader)) {
                do {
                    try check.take(Delivery(fields: fields))
                } catch { throw Failure("\(reader): \(error)") }
            }
            do { try check.finish(all: all) } catch { throw Failure("\(reader): \(error)") }
            lines.append(
                "\(reader): \(check.delivered.count) events in order, \(check.batches.count) batches; "
                    + "\(check.restarts) restarts, after which \(check.repeated) came again")
        }
        return lines + [try await checkDatabase(events: all.count)]
    }

    func checkBar(_ bar: Duration) throws {
        guard !passed.seconds.isEmpty else { throw Failure("no writer was killed: run for longer") }
        guard passed.maximum <= bar / .seconds(1) else {
            throw Failure("the minimum took \(Figures.text(passed.maximum)) s to pass a writer that was killed")
        }
    }

    /// All that the log reads; it is shut down then.
    static func allEvents(_ log: EventLog) async throws -> [DeliveredEvent] {
        var all: [DeliveredEvent] = []
        guard let newest = try await log.store.status(of: log.stream)?.newestEvent else { return [] }
        for try await batch in log.events() {
            all += batch.events.map(DeliveredEvent.init)
            if batch.through >= newest { break }
        }
        await log.shutDown()
        return all
    }

    /// Whatever was acknowledged is there, under the ID of the acknowledgement; how many there are.
    static func checkAcknowledgements(
        _ participant: Participant, writers: [String], all: [DeliveredEvent]
    ) throws -> Int {
        let events = Dictionary(uniqueKeysWithValues: all.map { (Substring($0.eventID), $0.streamID) })
        guard events.count == all.count else { throw Failure("two events have one id") }
        var acknowledged: Set<Substring> = []
        for writer in writers {
            for fields in try AppendedFile.lines(of: participant.acknowledgements(of: writer)) {
                guard fields.count == 2, let id = Int64(fields[0]) else {
                    throw Failure("\(writer) wrote \(fields.joined(separator: " "))")
                }
                guard events[fields[1]] == StreamID(id) else {
                    let found = events[fields[1]].map { "is event \($0)" } ?? "is not there"
                    throw Failure("\(fields[1]) was acknowledged as \(id), and \(found)")
                }
                guard acknowledged.insert(fields[1]).inserted else {
                    throw Failure("\(fields[1]) was acknowledged twice")
                }
            }
        }
        return acknowledged.count
    }

    private func checkDatabase(events: Int) async throws -> String {
        let queue = try DatabaseQueue(path: participant.database)
        return try await queue.read { db in
            let verdict = try String.fetchOne(db, sql: "PRAGMA integrity_check") ?? "nothing"
            guard verdict == "ok" else { throw Failure("SQLite says of the database: \(verdict)") }
            func number(_ sql: String) throws -> Int { try Int.fetchOne(db, sql: sql) ?? 0 }
            let sequence = try number("SELECT sequence FROM tidemark_streams")
            let highest = try number("SELECT max(stream_id) FROM tidemark_events")
            let lowest = try number("SELECT min(stream_id) FROM tidemark_events")
            guard 1 <= lowest, highest <= sequence else {
                throw Failure("there are rows from \(lowest) to \(highest), the sequence is at \(sequence)")
            }
            guard try number("SELECT count(*) FROM tidemark_events WHERE kind = 0") == events else {
                throw Failure("there are events that no reader is given")
            }
            let commit = try number("SELECT commit_number FROM tidemark_streams")
            guard try number("SELECT max(commit_number) FROM tidemark_events") == commit else {
                throw Failure("the newest commit is not \(commit)")
            }
            let members = try number("SELECT count(*) FROM tidemark_instances WHERE is_member = 1")
            guard members == 0 else { throw Failure("\(members) writers did not leave") }
            let tombstones = try number("SELECT count(*) FROM tidemark_events WHERE kind = 1")
            let nothing = sequence - events - tombstones
            return "sequence \(sequence): \(tombstones) IDs abandoned, \(nothing) lost with writers that were killed; "
                + "the database is sound"
        }
    }
}
