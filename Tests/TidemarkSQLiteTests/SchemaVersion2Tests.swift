import GRDB
import TestSupport
import Testing
import Tidemark
@testable import TidemarkSQLite

/// A file that a program with version 2 of the schema made: two writers that left, three events, and a consumer that has
/// read them.
@Suite struct SchemaVersion2Tests {
    @Test func `a file of version 2 keeps its events, writers and consumers, and goes on`() async throws {
        let folder = try TemporaryFolder()
        try FormerSchema.version2.make(folder).close()
        let store = try await folder.open()
        #expect(try await store.all().map(\.event.id) == ["e1", "e2", "e3"])
        #expect(try await store.all().map(\.event.key) == ["k1", nil, "k2"])
        #expect(try await store.all().allSatisfy { $0.event.metadata.isEmpty })
        let joined = try await store.join(stream, as: "p1")
        #expect(joined.writer == Writer("p1", epoch: 3) && joined.position == 3)
        let event = Event(id: "e4", type: "noted", metadata: ["cause": "e1"])
        #expect(try await store.persist([event], in: stream, by: joined.writer) == [.persisted(4)])
        #expect(try await store.all().last?.event == event)
        #expect(try await store.audit(stream, consumer: "mails", limit: 10).isComplete)
        let claim = try await store.claimConsumer("mails", in: stream)
        #expect(claim.position == 3 && claim.delivered?.count == 3 && claim.passed?.streamID == 3)
        let ids = try await store.read { try Int64.fetchAll($0, sql: "SELECT database_id FROM tidemark_schema") }
        #expect(ids.count == 1 && ids[0] > 0)
    }
}

extension FormerSchema {
    /// What such a program wrote, as `sqlite3 FILE .dump` shows it.
    static let version2 = FormerSchema(
        version: 2,
        beginnings: [
            """
            SELECT (SELECT version FROM tidemark_schema)
            FROM tidemark_streams s LEFT JOIN tidemark_instances w ON w.stream = s.stream AND w.instance = 'p1'
            WHERE s.name = 'events'
            """, "SELECT version FROM tidemark_schema",
        ],
        sql: """
            CREATE TABLE tidemark_schema (
                version INTEGER NOT NULL
            ) STRICT;
            INSERT INTO tidemark_schema VALUES(2);
            CREATE TABLE tidemark_streams (
                stream INTEGER PRIMARY KEY,
                name TEXT NOT NULL UNIQUE,
                sequence INTEGER NOT NULL DEFAULT 0 CHECK (sequence >= 0),
                commit_number INTEGER NOT NULL DEFAULT 0,
                membership_version INTEGER NOT NULL DEFAULT 1,
                forgotten_epoch INTEGER NOT NULL DEFAULT 0,
                unmarked_commits INTEGER NOT NULL DEFAULT 0
            ) STRICT;
            INSERT INTO tidemark_streams VALUES(1,'events',3,3126399,1664524,0,0);
            CREATE TABLE tidemark_instances (
                writer INTEGER PRIMARY KEY AUTOINCREMENT,
                stream INTEGER NOT NULL REFERENCES tidemark_streams (stream),
                instance TEXT NOT NULL,
                epoch INTEGER NOT NULL,
                nonce INTEGER NOT NULL,
                is_member INTEGER NOT NULL CHECK (is_member IN (0, 1)),
                left_at INTEGER,
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
            INSERT INTO tidemark_instances VALUES(1,1,'p1',2,1700819189770387744,0,1795923670602,0,0,0,1795923670578,0,NULL,
                NULL,101,'2qx24dd4ia884');
            INSERT INTO tidemark_instances VALUES(2,1,'p2',2,6321689958760134868,0,1795923670701,2,0,0,1795923670683,0,NULL,
                NULL,102,'3fmqa1flkdvid');
            CREATE TABLE tidemark_former_instances (
                writer INTEGER PRIMARY KEY,
                instance TEXT NOT NULL
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
            INSERT INTO tidemark_events VALUES(1,1,0,'e1','noted','k1',
                X'7b226964223a226531222c2274797065223a226e6f746564222c226b6579223a226b31227d',1,1795923670597,1078667);
            INSERT INTO tidemark_events VALUES(1,2,0,'e2','noted',NULL,
                X'7b226964223a226532222c2274797065223a226e6f746564227d',1,1795923670597,1078667);
            INSERT INTO tidemark_events VALUES(1,3,0,'e3','sent','k2',
                X'7b226964223a226533222c2274797065223a2273656e74222c226b6579223a226b32227d',2,1795923670696,3126399);
            CREATE TABLE tidemark_consumers (
                stream INTEGER NOT NULL REFERENCES tidemark_streams (stream),
                name TEXT NOT NULL,
                generation INTEGER NOT NULL,
                position INTEGER NOT NULL DEFAULT 0,
                commit_number INTEGER NOT NULL DEFAULT 0,
                delivered_count INTEGER DEFAULT 0,
                delivered_sum INTEGER DEFAULT 0,
                updated_at INTEGER NOT NULL,
                passed_id INTEGER,
                passed_commit INTEGER,
                holder_process_id INTEGER,
                holder_process_file TEXT,
                PRIMARY KEY (stream, name)
            ) STRICT, WITHOUT ROWID;
            INSERT INTO tidemark_consumers VALUES(1,'mails',624127,3,3126399,3,-5081140097078993699,1795923670770,3,3126399,
                103,'1rfxghvvl76n4');
            INSERT INTO sqlite_sequence VALUES('tidemark_instances',2);
            CREATE INDEX tidemark_members ON tidemark_instances (stream) WHERE is_member = 1;
            CREATE INDEX tidemark_left ON tidemark_instances (left_at) WHERE left_at IS NOT NULL;
            CREATE UNIQUE INDEX tidemark_events_by_id ON tidemark_events (stream, event_id) WHERE event_id IS NOT NULL;
            """)
}
