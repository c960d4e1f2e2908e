import TestSupport
import Testing

@testable import Tidemark
@testable import TidemarkPostgreSQL

/// What the functions compare is what keeps the promises: where one comparison is taken out, the hazard is there.
@Suite(.timeLimit(.minutes(5)), .enabled(if: TestCluster.isAvailable)) struct PromiseTests {
    /// A comparison that a function makes, and what happens without it.
    enum Promise: CaseIterable {
        case epoch, position, fence, running, incarnation, tombstones, era

        /// The function, a text in it, and what stands there when the comparison is taken out.
        var mutation: (function: String, text: String, other: String) {
            switch self {
            case .epoch: ("persist_1", "AND i.epoch = persist_1.epoch AND i.is_member ", "")
            case .position: ("require_committable_1", "IF durable >= (", "IF false AND durable >= (")
            case .fence: ("persist_1", "AND i.fence = persist_1.fence", "")
            case .running:
                (
                    "persist_1", "JOIN \"tidemark\".token t ON t.incarnation = i.incarnation AND ",
                    "LEFT JOIN \"tidemark\".token t ON "
                )
            case .incarnation:
                ("persist_1", "AND i.incarnation = coalesce(persist_1.incarnation, i.incarnation)", "")
            case .tombstones:
                (
                    "persist_1", "FROM unnest(persist_1.tombstones) u (id)",
                    "FROM unnest(persist_1.tombstones) u (id) WHERE false"
                )
            case .era: ("require_era_1", "IF require_era_1.era IS NULL THEN", "IF true THEN")
            }
        }
    }

    @Test(arguments: Promise.allCases) func `a promise holds, and does not without its comparison`(_ promise: Promise)
        async throws
    {
        try await withStore { store, configuration in
            let isBroken = try await isBroken(promise, store, configuration)
            #expect(!isBroken)
        }
        try await withStore { store, configuration in
            let (function, text, other) = promise.mutation
            try await connecting(configuration) { session in
                let definition = try session.query(
                    "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'tidemark'::regnamespace AND proname = $1",
                    [.text(function)]
                ).text(0, 0)
                #expect(definition.ranges(of: text).count == 1, "\(function) has no \(text)")
                try session.query(definition.replacing(text, with: other))
            }
            let isBroken = try await isBroken(promise, store, configuration)
            #expect(isBroken)
        }
    }

    private func isBroken(
        _ promise: Promise, _ store: PostgreSQLEventStore, _ configuration: PostgresConfiguration
    ) async throws -> Bool {
        /// A group that the server reads only now, whoever has sent it.
        func late(_ joined: Joined, fence: Int64 = 0) async throws -> Bool {
            try await connecting(configuration) { session in
                _ = try? session.query(
                    """
                    SELECT * FROM tidemark.persist_1('events', $1, $2, $3, $4, 0, ARRAY['late'], ARRAY['t'], ARRAY[NULL],
                        ARRAY[''::bytea])
                    """,
                    [
                        .text(joined.writer.instance.rawValue), .int64(Int64(joined.writer.epoch)),
                        .int64(joined.membership.incarnation.rawValue), .int64(fence),
                    ])
                return try session.query("SELECT count(*) FROM tidemark.events WHERE event_id = 'late'").int64(0, 0)
                    == 1
            }
        }
        let first = try await store.join(stream, as: "p1")
        switch promise {
        case .epoch:
            // The name has another process since.
            _ = try await store.join(stream, as: "p1")
            return try await late(first)
        case .fence:
            let group = EventGroup(events("late"), in: stream, by: first.writer, known: 0, fence: first.fence)
            #expect(try await store.settle([group]).groups == [nil])
            return try await late(first, fence: first.fence)
        case .running:
            // As a crash leaves it, or a promotion: the sequence may have gone back, and nobody has joined since.
            try await connecting(configuration) { _ = try $0.query("DELETE FROM tidemark.token") }
            return try await late(first)
        case .incarnation:
            // As a promotion leaves it that has lost the join: another process gets the same epoch of the same name.
            try await connecting(configuration) { session in
                try session.query("DELETE FROM tidemark.token")
                try session.query("DELETE FROM tidemark.instances")
            }
            let second = try await store.join(stream, as: "p1")
            #expect(second.writer == first.writer && second.membership.incarnation != first.membership.incarnation)
            return try await late(first)
        case .position:
            // The writer was silent, and was closed; readers have passed its ID.
            let ids = try await store.allocate(1, in: stream, for: first.writer)
            #expect(try await store.closeWriter(stream, instance: "p1") == ids[0])
            try await connecting(configuration) { session in
                _ = try? session.query(
                    "SELECT tidemark.commit_ids_1('events', 'p1', 1, $1, $2)",
                    [.int64(first.membership.incarnation.rawValue), .int64s(ids.map(\.rawValue))])
            }
            return try await store.batch()?.externalEvents.isEmpty == false
        case .tombstones:
            // Of a second try its first event is there: the ID that it got this time would be a gap for ever.
            _ = try await store.persist(events("a"), in: stream, by: first.writer)
            _ = try await store.persist(events("a", "b"), in: stream, by: first.writer)
            return try await store.finished() != [1...3]
        case .era:
            _ = try await store.persist(events("a"), in: stream, by: first.writer)
            let claim = try await store.claimConsumer("mailer", in: stream)
            let batch = try #require(try await store.batch())
            // It had passed IDs up to 61, of which a promotion has lost all but the first one, and which are handed out again.
            try await connecting(configuration) { _ = try $0.query("DELETE FROM tidemark.token") }
            let second = try await store.join(stream, as: "p2")
            let again = try await store.allocate(70, in: stream, for: second.writer)
            #expect(again.contains(61))
            do {
                try await store.checkpoint(claim, at: 61, snapshot: batch.mark)
                return true
            } catch TidemarkError.acknowledgedEventsLost {
                return false
            }
        }
    }
}
