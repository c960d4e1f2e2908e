import GRDB
import Tidemark

/// How a file with the schema of an older version becomes one of the newest.
struct SchemaMigrations: Sendable {
    /// From the version before `version` to `version`.
    struct Step: Sendable {
        let version: Int
        let apply: @Sendable (Database) throws -> Void
    }

    /// The version that `schema.sql` makes.
    let newest: Int
    /// Ascending, without a gap, up to `newest`.
    let steps: [Step]

    init(newest: Int, steps: [Step]) {
        precondition(
            steps.map(\.version) == Array((newest - steps.count + 1)..<(newest + 1)),
            "the steps end at the newest version and leave none out")
        self.newest = newest
        self.steps = steps
    }

    /// Those of this library.
    static let current = SchemaMigrations(
        newest: 4,
        steps: [
            .init(version: 2) { try $0.execute(sql: toVersion2) },
            .init(version: 3) { db in
                try db.execute(sql: toVersion3)
                try db.execute(sql: processorTables)
            },
            .init(version: 4) { db in
                try db.execute(sql: toVersion4)
                try db.execute(sql: keyTables)
                try db.execute(sql: prunedStreams)
            },
        ])

    /// The writers' table has another name from now on, so that the statements of a program of version 1 that still runs
    /// fail.
    private static let toVersion2 = """
        ALTER TABLE tidemark_streams ADD COLUMN forgotten_epoch INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE tidemark_streams ADD COLUMN unmarked_commits INTEGER NOT NULL DEFAULT 0;
        UPDATE tidemark_streams SET unmarked_commits = commit_number, commit_number = commit_number << 20;

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
        INSERT INTO tidemark_instances
        SELECT writer, stream, instance, epoch, random() & 0x7fffffffffffffff, is_member,
            iif(is_member, NULL, heartbeat_at), position, is_closed, heartbeat, heartbeat_at, in_flight,
            lowest_in_flight, in_flight_since, process_id, process_file
        FROM tidemark_writers;
        DROP TABLE tidemark_writers;
        CREATE INDEX tidemark_members ON tidemark_instances (stream) WHERE is_member = 1;
        CREATE INDEX tidemark_left ON tidemark_instances (left_at) WHERE left_at IS NOT NULL;
        CREATE TABLE tidemark_former_instances (
            writer INTEGER PRIMARY KEY,
            instance TEXT NOT NULL
        ) STRICT;

        ALTER TABLE tidemark_consumers ADD COLUMN passed_id INTEGER;
        ALTER TABLE tidemark_consumers ADD COLUMN passed_commit INTEGER;
        ALTER TABLE tidemark_consumers ADD COLUMN holder_process_id INTEGER;
        ALTER TABLE tidemark_consumers ADD COLUMN holder_process_file TEXT;
        """

    /// Adds columns alone, so that a large file is migrated as fast as a small one. A program of version 2 that still runs
    /// compares the version in each transaction that writes.
    private static let toVersion3 = """
        ALTER TABLE tidemark_schema ADD COLUMN database_id INTEGER;
        UPDATE tidemark_schema SET database_id = random() & 0x7fffffffffffffff;
        ALTER TABLE tidemark_streams ADD COLUMN moved_to TEXT;
        ALTER TABLE tidemark_streams ADD COLUMN arriving_from TEXT;
        ALTER TABLE tidemark_events ADD COLUMN metadata TEXT;
        ALTER TABLE tidemark_consumers ADD COLUMN claim_key INTEGER;
        ALTER TABLE tidemark_consumers ADD COLUMN start_after INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE tidemark_consumers ADD COLUMN filter TEXT;
        """

    /// What processors keep; a part of version 3.
    private static let processorTables = """
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
        """

    private static let toVersion4 = """
        ALTER TABLE tidemark_streams ADD COLUMN previous_commit INTEGER;
        """

    /// What the index of keys needs; a part of version 4. No stream has one yet.
    private static let keyTables = """
        ALTER TABLE tidemark_streams ADD COLUMN keyed_from INTEGER;
        CREATE TABLE tidemark_keys (
            stream INTEGER NOT NULL,
            key TEXT NOT NULL,
            stream_id INTEGER NOT NULL,
            PRIMARY KEY (stream, key, stream_id)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE tidemark_pruned_keys (
            stream INTEGER NOT NULL,
            key TEXT NOT NULL,
            stream_id INTEGER NOT NULL,
            PRIMARY KEY (stream, key)
        ) STRICT, WITHOUT ROWID;
        """

    /// What is left of what was pruned; a part of version 4. Where partitions began was not kept, so that what was delivered to
    /// them cannot be compared.
    private static let prunedStreams = """
        ALTER TABLE tidemark_streams ADD COLUMN pruned_through INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE tidemark_streams ADD COLUMN pruned_id INTEGER;
        ALTER TABLE tidemark_streams ADD COLUMN pruned_commit INTEGER;
        ALTER TABLE tidemark_streams ADD COLUMN pruned_count INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE tidemark_streams ADD COLUMN pruned_sum INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE tidemark_streams ADD COLUMN pruned_newest_commit INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE tidemark_streams ADD COLUMN pruned_at INTEGER;
        ALTER TABLE tidemark_streams ADD COLUMN forgotten_through INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE tidemark_consumers ADD COLUMN pruned_count INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE tidemark_consumers ADD COLUMN pruned_sum INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE tidemark_partitions ADD COLUMN start_after INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE tidemark_partitions ADD COLUMN pruned_count INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE tidemark_partitions ADD COLUMN pruned_sum INTEGER NOT NULL DEFAULT 0;
        UPDATE tidemark_partitions SET delivered_count = NULL, delivered_sum = NULL;
        """

    /// Takes every step after the version found. In the caller's transaction, so that either all are taken or none.
    func migrate(_ db: Database, from found: Int, store: String) throws {
        let missing = steps.drop { $0.version <= found }
        guard missing.count == newest - found else {
            throw TidemarkError.notADatabase(
                store: store, problem: "its schema has version \(found), which cannot be migrated")
        }
        for step in missing {
            try step.apply(db)
        }
        try Query.run(db, "UPDATE tidemark_schema SET version = ?", newest)
    }
}
