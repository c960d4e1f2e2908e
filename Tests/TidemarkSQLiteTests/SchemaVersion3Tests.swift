import GRDB
import TestSupport
import Testing
import Tidemark
@testable import TidemarkSQLite

/// A file that a program with version 3 of the schema made: a writer that left, three events, and a consumer that has read
/// them.
@Suite struct SchemaVersion3Tests {
    @Test func `a file of version 3 keeps its events, writers and consumers, and goes on`() async throws {
        let folder = try TemporaryFolder()
        try FormerSchema.version3.make(folder).close()
        let store = try await folder.open()
        #expect(try await store.all().map(\.event.id) == ["e1", "e2", "e3"])
        let joined = try await store.join(stream, as: "p1")
        #expect(joined.writer == Writer("p1", epoch: 3) && joined.position == 3)
        #expect(try await store.audit(stream, consumer: "mails", limit: 10).isComplete)
        let claim = try await store.claimConsumer("mails", in: stream)
        #expect(claim.position == 3 && claim.delivered?.count == 3 && claim.passed?.streamID == 3)
    }

    @Test func `a stream of version 3 has no index of keys, and gets one`() async throws {
        let folder = try TemporaryFolder()
        try FormerSchema.version3.make(folder).close()
        let store = try await folder.open()
        #expect(try await store.keyIndex(of: stream) == .missing)
        try await store.completeKeyIndex(of: stream, rows: 2)
        let found = try await store.events(ofKey: "k2", in: stream, after: 0, limit: 10, byteLimit: .max)
        #expect(found.map(\.event.id) == ["e3"])
    }

    @Test func `a stream of version 3 can be pruned, and its file keeps the room for new events`() async throws {
        let folder = try TemporaryFolder()
        try FormerSchema.version3.make(folder).close()
        let store = try await folder.open()
        let result = try await store.prune(stream, .through(2))
        #expect(result.events == 2 && result.through == 2)
        #expect(result.space?.canBeGivenBack == false && result.space?.givenBack == 0)
        let audit = try await store.audit(stream, consumer: "mails", limit: 10)
        #expect(audit.isComplete && audit.events == 1 && audit.pruned == 2 && audit.delivered == 3)
    }
}

extension FormerSchema {
    /// What such a program wrote, as `sqlite3 FILE .dump` shows it.
    static let version3 = FormerSchema(
        version: 3,
        beginnings: [
            "SELECT version FROM tidemark_schema"
        ],
        sql: """
            CREATE TABLE tidemark_schema (
                version INTEGER NOT NULL,
                database_id INTEGER
            ) STRICT;
            INSERT INTO tidemark_schema VALUES(3,8428335074728072633);
            CREATE TABLE tidemark_streams (
                stream INTEGER PRIMARY KEY,
                name TEXT NOT NULL UNIQUE,
                sequence INTEGER NOT NULL DEFAULT 0 CHECK (sequence >= 0),
                commit_number INTEGER NOT NULL DEFAULT 0,
                membership_version INTEGER NOT NULL DEFAULT 1,
                forgotten_epoch INTEGER NOT NULL DEFAULT 0,
                unmarked_commits INTEGER NOT NULL DEFAULT 0,
                moved_to TEXT,
                arriving_from TEXT
            ) STRICT;
            INSERT INTO tidemark_streams VALUES(1,'events',3,1780230,1077356,0,0,NULL,NULL);
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
            INSERT INTO tidemark_instances VALUES(1,1,'p1',2,7495789388306887356,0,1795936003767,0,0,0,1795936003754,0,NULL,NULL,101,
                '3fo24cupq5cw5');
            CREATE INDEX tidemark_members ON tidemark_instances (stream) WHERE is_member = 1;
            CREATE INDEX tidemark_left ON tidemark_instances (left_at) WHERE left_at IS NOT NULL;
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
                metadata TEXT,
                PRIMARY KEY (stream, stream_id)
            ) STRICT, WITHOUT ROWID;
            INSERT INTO tidemark_events VALUES(1,1,0,'e1','noted','k1',
                X'7b226964223a226531222c2274797065223a226e6f746564222c226b6579223a226b31227d',1,1795936003765,1780230,NULL);
            INSERT INTO tidemark_events VALUES(1,2,0,'e2','noted',NULL,
                X'7b226964223a226532222c2274797065223a226e6f746564227d',1,1795936003765,1780230,NULL);
            INSERT INTO tidemark_events VALUES(1,3,0,'e3','sent','k2',
                X'7b226964223a226533222c2274797065223a2273656e74222c226b6579223a226b32227d',1,1795936003765,1780230,NULL);
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
                passed_id INTEGER,
                passed_commit INTEGER,
                holder_process_id INTEGER,
                holder_process_file TEXT,
                claim_key INTEGER,
                start_after INTEGER NOT NULL DEFAULT 0,
                filter TEXT,
                PRIMARY KEY (stream, name)
            ) STRICT, WITHOUT ROWID;
            INSERT INTO tidemark_consumers VALUES(1,'mails',406175,3,1780230,3,-9030935917618930754,1795936003824,3,1780230,
                103,'2k5u365bt8up1',4653660648026521606,0,NULL);
            CREATE TABLE tidemark_partitions (
                stream INTEGER NOT NULL REFERENCES tidemark_streams (stream),
                consumer TEXT NOT NULL,
                partition INTEGER NOT NULL,
                hash TEXT NOT NULL,
                claim INTEGER NOT NULL,
                owner INTEGER,
                position INTEGER NOT NULL,
                commit_number INTEGER NOT NULL DEFAULT 0,
                delivered_count INTEGER,
                delivered_sum INTEGER,
                passed_id INTEGER,
                passed_commit INTEGER,
                updated_at INTEGER NOT NULL,
                oldest_id INTEGER,
                oldest_since INTEGER,
                PRIMARY KEY (stream, consumer, partition)
            ) STRICT, WITHOUT ROWID;
            CREATE TABLE tidemark_processes (
                stream INTEGER NOT NULL REFERENCES tidemark_streams (stream),
                consumer TEXT NOT NULL,
                process INTEGER NOT NULL,
                heartbeat INTEGER NOT NULL DEFAULT 0,
                heartbeat_at INTEGER NOT NULL,
                process_id INTEGER,
                process_file TEXT,
                PRIMARY KEY (stream, consumer, process)
            ) STRICT, WITHOUT ROWID;
            CREATE TABLE tidemark_attempts (
                stream INTEGER NOT NULL REFERENCES tidemark_streams (stream),
                consumer TEXT NOT NULL,
                partition INTEGER NOT NULL,
                stream_id INTEGER NOT NULL,
                attempts INTEGER NOT NULL,
                PRIMARY KEY (stream, consumer, partition, stream_id)
            ) STRICT, WITHOUT ROWID;
            CREATE TABLE tidemark_parked (
                stream INTEGER NOT NULL REFERENCES tidemark_streams (stream),
                consumer TEXT NOT NULL,
                stream_id INTEGER NOT NULL,
                partition INTEGER NOT NULL,
                kind INTEGER NOT NULL,
                event_id TEXT,
                type TEXT,
                key TEXT,
                payload BLOB,
                writer INTEGER NOT NULL,
                persisted_at INTEGER NOT NULL,
                commit_number INTEGER NOT NULL,
                metadata TEXT,
                reason INTEGER NOT NULL CHECK (reason IN (0, 1, 2)),
                attempts INTEGER NOT NULL,
                problem TEXT NOT NULL,
                parked_at INTEGER NOT NULL,
                is_retried INTEGER NOT NULL DEFAULT 0 CHECK (is_retried IN (0, 1)),
                PRIMARY KEY (stream, consumer, stream_id)
            ) STRICT, WITHOUT ROWID;
            CREATE INDEX tidemark_retries ON tidemark_parked (stream, consumer, partition, stream_id) WHERE is_retried = 1;
            CREATE INDEX tidemark_parked_keys ON tidemark_parked (stream, consumer, key, stream_id) WHERE reason = 2;
            """)
}
