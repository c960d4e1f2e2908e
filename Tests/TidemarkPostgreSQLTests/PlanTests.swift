import Foundation
import TestSupport
import Testing

@testable import Tidemark
@testable import TidemarkPostgreSQL

/// The server keeps the plans of statements that come again. Here they are made while the tables are small, nobody tells the
/// server that they have grown since, and it writes down what each statement has read.
@Suite(.timeLimit(.minutes(5)), .enabled(if: TestCluster.isAvailable)) struct PlanTests {
    /// How many rows of `events` and `keys` the statements after the beginning have read at each look, by the lines that say so.
    private func rowsRead(_ cluster: TestCluster, from begin: Int) throws -> [(rows: Int, line: String)] {
        let log = try Data(contentsOf: URL(fileURLWithPath: cluster.folder + "/log"))
        let text = String(decoding: log.dropFirst(begin), as: UTF8.self)
        var read: [(Int, String)] = []
        var isOurs = false
        for line in text.split(separator: "\n") {
            if line.contains("(cost=") { isOurs = line.firstMatch(of: #/ (on|using) (events|keys)/#) != nil }
            guard isOurs else { continue }
            if let match = line.firstMatch(of: /actual rows=(\d+)/) {
                read.append((Int(match.1) ?? 0, String(line)))
            } else if let match = line.firstMatch(of: /Rows Removed by Filter: (\d+)/) {
                read.append((Int(match.1) ?? 0, String(line)))
            }
        }
        return read
    }

    private func logLength(_ cluster: TestCluster) throws -> Int {
        try Data(contentsOf: URL(fileURLWithPath: cluster.folder + "/log")).count
    }

    /// - Parameter isVacuumed: whether the server knows how small the tables are; otherwise it guesses.
    @Test(arguments: [false, true])
    func `a plan that was made while the table was small reads no whole table when that has grown`(isVacuumed: Bool)
        async throws
    {
        let cluster = try await TestCluster([
            "fsync=off", "autovacuum=off", "session_preload_libraries=auto_explain", "auto_explain.log_min_duration=0",
            "auto_explain.log_nested_statements=on", "auto_explain.log_analyze=on", "auto_explain.log_timing=off",
        ])
        let database = try await cluster.newDatabase("plans")
        var configuration = database
        // So that all is asked of one server process, which keeps the plans.
        configuration.connections = 1
        try await withStore(at: configuration) { store in
            let writer = try await store.join(stream, as: "p1").writer
            let keyed: StreamName = "keyed"
            _ = try await store.makeKeyIndex(of: keyed)
            let keyedWriter = try await store.join(keyed, as: "p1").writer
            _ = try await store.persist(events("first"), in: stream, by: writer)
            var newest: [String: StreamID] = [:]
            var fence: Int64 = 0
            var number = 0
            let plain = """
                SELECT count(e.stream_id) FROM unnest($1::text[]) u (id)
                LEFT JOIN tidemark.events e ON e.stream = 1 AND e.event_id = u.id
                """

            func callPlainly() async throws {
                #expect(try await store.pool.query(plain, [.texts(["first", "a1"])]) { try $0.int64(0, 0) } == 2)
            }
            func callAll() async throws {
                number += 1
                let known = try await store.reconciliation(of: stream, above: 0, limit: 0)?.sequence ?? 0
                let ids = ["first", "a\(number)", "b\(number)"]
                let group = EventGroup(
                    ids.map { Event(id: $0, type: "t") }, in: stream, by: writer, known: known, fence: fence)
                #expect(try await store.persist(group).tombstones.count == 1)
                let settled = try await store.settle([group])
                #expect(settled.groups.count == 1 && settled.groups[0] != nil)
                // By whoever knows nothing: of the whole stream it is the writer's tombstones that are looked for.
                let unknown = EventGroup(group.events, in: stream, by: writer, fence: settled.fence)
                let all = try await store.settle([unknown])
                #expect(all.groups.first??.tombstones.count == 3 * number - 2)
                fence = all.fence
                let held = try await store.allocate(3, in: stream, for: writer)
                _ = try await store.persist(
                    Event(id: "c\(number)", type: "t"), as: held[0], in: stream, by: writer)
                #expect(try await store.abandon(held, in: stream, by: writer) == [held[0]])
                let void = try await store.abandon(held, allocatedIn: Incarnation(5), in: stream, by: writer)
                #expect(void.void == held)
                _ = try await store.beat(writer, at: held[2])
                #expect(try await store.event(withID: "a\(number)", in: stream) != nil)
                let last = held[2].rawValue
                let batch = try await store.batch(after: StreamID(max(0, last - 500)), limit: 100)
                #expect(batch?.events.isEmpty == false)
                _ = try await store.reconciliation(of: stream, above: StreamID(last - 1), limit: 100)
                // With conditions, of which one has the events already, and without.
                let keys = ["k\(number)", "l"]
                let answer = try await store.persist(
                    EventGroup(
                        keys.map { Event(id: "\($0) \(number)", type: "t", key: $0) }, in: keyed, by: keyedWriter,
                        calls: keys.map { .init(events: 1, condition: KeyCondition(key: $0, expected: newest[$0])) }))
                for (key, outcome) in zip(keys, answer.outcomes) { newest[key] = outcome.streamID }
                #expect(answer.refusals.isEmpty)
                _ = try await store.persist(
                    [Event(id: "l \(number)", type: "t", key: "l"), Event(id: "m \(number)", type: "t", key: "l")],
                    in: keyed, by: keyedWriter)
                newest["l"] = try await store.events(
                    ofKey: "l", in: keyed, after: newest["l"] ?? 0, limit: 10, byteLimit: .max
                ).last?.streamID
                // As far as all is finished, from the lowest position of a member, which is 0 there.
                _ = try await store.claimConsumer(ConsumerName(validating: "c\(number)"), in: keyed)
            }

            try await callAll()
            if isVacuumed {
                try await connecting(database) { session in
                    for table in ["events", "keys"] { try session.query("VACUUM ANALYZE tidemark.\(table)") }
                }
            }
            for _ in 0..<10 {
                try await callAll()
                try await callPlainly()
            }
            try await connecting(database) { session in
                try session.query(
                    """
                    INSERT INTO tidemark.events (stream, kind, stream_id, writer, mark, event_id, type, key, payload)
                    SELECT s.stream, 0, nextval(s.sequence), i.writer, 7, 'filler ' || n, 't', 'l', 'x'
                    FROM tidemark.streams s JOIN tidemark.instances i ON i.stream = s.stream, generate_series(1, 20000) n
                    """)
                try session.query(
                    """
                    INSERT INTO tidemark.keys
                    SELECT e.stream, e.key, e.stream_id FROM tidemark.events e JOIN tidemark.streams s ON s.stream = e.stream
                    WHERE s.name = 'keyed' AND e.mark = 7
                    """)
            }
            newest["l"] = try await connecting(database) { session in
                StreamID(try session.query("SELECT max(stream_id) FROM tidemark.keys WHERE key = 'l'").int64(0, 0))
            }
            var begin = try logLength(cluster)
            try await callAll()
            let read = try rowsRead(cluster, from: begin)
            #expect(read.count > 30, "\(read.count) lines of plans")
            let large = read.filter { $0.rows > 2_000 }
            #expect(large.isEmpty, "\(large.map(\.line).joined(separator: "\n"))")
            begin = try logLength(cluster)
            try await callPlainly()
            #expect(try rowsRead(cluster, from: begin).contains { $0.rows > 2_000 })
        }
    }
}
