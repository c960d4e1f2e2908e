import GRDB
import TestSupport
import Testing
import Tidemark
@testable import TidemarkSQLite

/// A file that version 0.1.0 made, and a program of that version that still runs.
@Suite struct SchemaVersion1Tests {
    @Test func `a file of version 0·1·0 keeps its events, writers and consumers, and goes on`() async throws {
        let folder = try TemporaryFolder()
        try FormerSchema.version1.make(folder).close()
        let store = try await folder.open()
        #expect(try await store.all().map(\.event.id) == ["e1", "e2", "e4"])
        #expect(try await store.all().map(\.instance) == ["p1", "p2", "p1"])
        let joined = try await store.join(stream, as: "p1")
        #expect(joined.writer == Writer("p1", epoch: 4))
        #expect(joined.position == 4)
        #expect(try await store.persist(events("e5"), in: stream, by: joined.writer) == [.persisted(5)])
        #expect(try await store.all().map(\.mark.place) == [0, 0, 0, 4])
        let claim = try await store.claimConsumer("mails", in: stream)
        #expect(claim.position == 1 && claim.delivered == FormerSchema.delivered)
        #expect(try await store.audit(stream, consumer: "mails", limit: 10).isComplete)
    }

    @Test func `a transaction of the user's own is refused after somebody has migrated the database`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        try await store.write { try $0.execute(sql: "CREATE TABLE mine (x)") }
        try await store.withWriter { try $0.execute(sql: "UPDATE tidemark_schema SET version = version + 1") }
        await #expect(throws: TidemarkError.self) {
            try await store.write { try $0.execute(sql: "INSERT INTO mine VALUES (1)") }
        }
        let count = try await store.withWriter { try Int.fetchOne($0, sql: "SELECT count(*) FROM mine") }
        #expect(count == 0)
    }
}

extension FormerSchema {
    fileprivate static let delivered = {
        var delivered = DeliveredSum()
        delivered.add(1, mark: CommitMark(1))
        return delivered
    }()

    /// The schema of version 0.1.0, with a member, one that left, three events, a tombstone, and a consumer.
    static let version1 = FormerSchema(
        version: 1,
        beginnings: [
            """
            SELECT s.stream, s.sequence, s.commit_number, w.writer, w.epoch, w.is_member, w.position, w.heartbeat
            FROM tidemark_streams s LEFT JOIN tidemark_writers w ON w.stream = s.stream AND w.instance = 'p1'
            WHERE s.name = 'events'
            """
        ],
        sql: """
            CREATE TABLE tidemark_schema (version INTEGER NOT NULL) STRICT;
            INSERT INTO tidemark_schema (version) VALUES (1);
            CREATE TABLE tidemark_streams (
                stream INTEGER PRIMARY KEY,
                name TEXT NOT NULL UNIQUE,
                sequence INTEGER NOT NULL DEFAULT 0 CHECK (sequence >= 0),
                commit_number INTEGER NOT NULL DEFAULT 0,
                membership_version INTEGER NOT NULL DEFAULT 1
            ) STRICT;
            CREATE TABLE tidemark_writers (
                writer INTEGER PRIMARY KEY,
                stream INTEGER NOT NULL REFERENCES tidemark_streams (stream),
                instance TEXT NOT NULL,
                epoch INTEGER NOT NULL,
                is_member INTEGER NOT NULL CHECK (is_member IN (0, 1)),
                position INTEGER NOT NULL,
                is_closed INTEGER NOT NULL DEFAULT 0 CHECK (is_closed IN (0, 1)),
                heartbeat INTEGER NOT NULL DEFAULT 0,
                heartbeat_at INTEGER NOT NULL,
                in_flight INTEGER NOT NULL DEFAULT 0,
                lowest_in_flight INTEGER,
                in_flight_since INTEGER,
                process_id INTEGER,
                process_file TEXT,
                UNIQUE (stream, instance)
            ) STRICT;
            CREATE TABLE tidemark_events (
                stream INTEGER NOT NULL,
                stream_id INTEGER NOT NULL,
                kind INTEGER NOT NULL CHECK (kind IN (0, 1, 2)),
                event_id TEXT CHECK ((event_id IS NOT NULL) = (kind = 0)),
                type TEXT CHECK ((type IS NOT NULL) = (kind = 0)),
                key TEXT,
                payload BLOB,
                writer INTEGER NOT NULL,
                persisted_at INTEGER NOT NULL,
                commit_number INTEGER NOT NULL,
                PRIMARY KEY (stream, stream_id)
            ) STRICT, WITHOUT ROWID;
            CREATE UNIQUE INDEX tidemark_events_by_id ON tidemark_events (stream, event_id) WHERE event_id IS NOT NULL;
            CREATE TABLE tidemark_consumers (
                stream INTEGER NOT NULL REFERENCES tidemark_streams (stream),
                name TEXT NOT NULL,
                generation INTEGER NOT NULL,
                position INTEGER NOT NULL DEFAULT 0,
                commit_number INTEGER NOT NULL DEFAULT 0,
                delivered_count INTEGER DEFAULT 0,
                delivered_sum INTEGER DEFAULT 0,
                updated_at INTEGER NOT NULL,
                PRIMARY KEY (stream, name)
            ) STRICT, WITHOUT ROWID;
            INSERT INTO tidemark_streams VALUES (1, 'events', 4, 3, 5);
            INSERT INTO tidemark_writers (writer, stream, instance, epoch, is_member, position, heartbeat_at)
            VALUES (1, 1, 'p1', 3, 1, 4, 1000), (2, 1, 'p2', 2, 0, 2, 900);
            INSERT INTO tidemark_events (stream, stream_id, kind, event_id, type, payload, writer, persisted_at, commit_number)
            VALUES (1, 1, 0, 'e1', 'noted', x'01', 1, 1, 1), (1, 2, 0, 'e2', 'noted', x'02', 2, 2, 2),
                (1, 3, 1, NULL, NULL, NULL, 1, 3, 3), (1, 4, 0, 'e4', 'noted', x'04', 1, 3, 3);
            INSERT INTO tidemark_consumers VALUES (1, 'mails', 4, 1, 1, \(delivered.count), \(Int64(bitPattern: delivered.sum)), 1000);
            """)
}
