-- The schema of Tidemark in an SQLite database: the one copy, which the library embeds and executes as it stands.
--
-- Everything is prefixed, so that it can live in a database that has tables of its own. Times are milliseconds since
-- 1970-01-01 UTC and are for people: nothing is ordered or decided by them.

-- One row: the version of this schema. A file of an older version is migrated, one of a newer version is refused.
CREATE TABLE tidemark_schema (
    version INTEGER NOT NULL,
    -- Random: a place in a stream that is kept elsewhere names the database by it. Null in a backup, until somebody joins.
    database_id INTEGER
) STRICT;

INSERT INTO tidemark_schema (version, database_id) VALUES (4, random() & 0x7fffffffffffffff);

-- An ordered log of events, and the one sequence that all its writers share.
CREATE TABLE tidemark_streams (
    stream INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    -- The newest ID that was handed out; the first is 1.
    sequence INTEGER NOT NULL DEFAULT 0 CHECK (sequence >= 0),
    -- The number of the newest transaction that wrote rows of this stream: a count, and below it 20 random bits, by which
    -- a commit is told from that of another life of this database, which a restored backup begins.
    commit_number INTEGER NOT NULL DEFAULT 0,
    -- Raised by each join, leave and retirement, in their own transaction, by a random step.
    membership_version INTEGER NOT NULL DEFAULT 1,
    -- The highest epoch of all names that were forgotten: a name that is new begins above it, so that no epoch comes twice.
    forgotten_epoch INTEGER NOT NULL DEFAULT 0,
    -- How many of the first commits have numbers that are counts alone: those of the schema's version 1.
    unmarked_commits INTEGER NOT NULL DEFAULT 0,
    -- The store that the stream was moved to, or is being moved to: nobody may use it here. Null where it is here.
    moved_to TEXT,
    -- The store that the stream is being moved from: nobody may use it yet. Null where it is whole.
    arriving_from TEXT,
    -- The commit number before the transaction that changed this row last, by which a `-wal` is known as that of its
    -- database. Null where it was not kept.
    previous_commit INTEGER,
    -- From which ID on every event is in the index of keys, while it is built from the newest down; 0 where all are, and null
    -- where the stream has no index.
    keyed_from INTEGER,
    -- How far the stream was pruned: of what is at or below it only the ids of events are left. Nothing more will be committed
    -- there.
    pruned_through INTEGER NOT NULL DEFAULT 0,
    -- The newest event that was pruned, and the number of its commit, by which the database is known again. Null where there is
    -- none.
    pruned_id INTEGER,
    pruned_commit INTEGER,
    -- How many events were pruned, and a sum as in a consumer's row.
    pruned_count INTEGER NOT NULL DEFAULT 0,
    pruned_sum INTEGER NOT NULL DEFAULT 0,
    -- The newest of the commits of which rows were pruned.
    pruned_newest_commit INTEGER NOT NULL DEFAULT 0,
    -- The latest time at which an event was persisted that was pruned.
    pruned_at INTEGER,
    -- Up to here the ids of events that were pruned are gone too: persisting one of them again makes a new event.
    forgotten_through INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Every instance that joined and was not forgotten. Only the newest epoch of a member may commit, and only above its
-- position.
CREATE TABLE tidemark_instances (
    -- AUTOINCREMENT: events name their writer by it, so that it is never given away again.
    writer INTEGER PRIMARY KEY AUTOINCREMENT,
    stream INTEGER NOT NULL REFERENCES tidemark_streams (stream),
    instance TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    -- Drawn at each join: two databases, or two lives of one, have no writer in common.
    nonce INTEGER NOT NULL,
    is_member INTEGER NOT NULL CHECK (is_member IN (0, 1)),
    -- When it left or was retired; null while it is a member.
    left_at INTEGER,
    -- The durable position: no event of this epoch at or below it will be committed from now on.
    position INTEGER NOT NULL,
    -- Whether somebody else raised the position since the writer's last heartbeat.
    is_closed INTEGER NOT NULL DEFAULT 0 CHECK (is_closed IN (0, 1)),
    -- Counts up with each sign of life.
    heartbeat INTEGER NOT NULL DEFAULT 0,
    heartbeat_at INTEGER NOT NULL,
    -- As of the last heartbeat: IDs that were handed out to this writer and are not finished.
    in_flight INTEGER NOT NULL DEFAULT 0,
    lowest_in_flight INTEGER,
    in_flight_since INTEGER,
    -- The process that joined, on the machine that has the file.
    process_id INTEGER,
    -- The file, in the folder `processes` beside the database, that this process keeps locked for as long as it lives:
    -- nobody lives who has left its file unlocked. Null where it could not be made.
    process_file TEXT,
    UNIQUE (stream, instance)
) STRICT;

-- What a snapshot looks at: however many have left, it looks at members alone.
CREATE INDEX tidemark_members ON tidemark_instances (stream) WHERE is_member = 1;

-- The names that left, the longest ago first: they are forgotten after a time.
CREATE INDEX tidemark_left ON tidemark_instances (left_at) WHERE left_at IS NOT NULL;

-- The names of writers that were forgotten, for the events that they wrote.
CREATE TABLE tidemark_former_instances (
    writer INTEGER PRIMARY KEY,
    instance TEXT NOT NULL
) STRICT;

-- One row for each finished ID.
CREATE TABLE tidemark_events (
    stream INTEGER NOT NULL,
    stream_id INTEGER NOT NULL,
    -- 0: an event; of one that was pruned its id and key are left. 1: a tombstone, so that no event can take the ID. 2: an
    -- event in a table of the user's own.
    kind INTEGER NOT NULL CHECK (kind IN (0, 1, 2)),
    event_id TEXT CHECK ((event_id IS NOT NULL) = (kind = 0)),
    type TEXT CHECK ((type IS NOT NULL) = (kind = 0)),
    key TEXT,
    payload BLOB,
    writer INTEGER NOT NULL,
    persisted_at INTEGER NOT NULL,
    commit_number INTEGER NOT NULL,
    -- Of an event, where it has any: one JSON object of texts.
    metadata TEXT,
    PRIMARY KEY (stream, stream_id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX tidemark_events_by_id ON tidemark_events (stream, event_id) WHERE event_id IS NOT NULL;

-- The events of each key, in streams that have an index of keys.
CREATE TABLE tidemark_keys (
    stream INTEGER NOT NULL,
    key TEXT NOT NULL,
    stream_id INTEGER NOT NULL,
    PRIMARY KEY (stream, key, stream_id)
) STRICT, WITHOUT ROWID;

-- The newest event of each key that lost events to pruning.
CREATE TABLE tidemark_pruned_keys (
    stream INTEGER NOT NULL,
    key TEXT NOT NULL,
    stream_id INTEGER NOT NULL,
    PRIMARY KEY (stream, key)
) STRICT, WITHOUT ROWID;

-- The checkpoints of background readers that keep their place here.
CREATE TABLE tidemark_consumers (
    stream INTEGER NOT NULL REFERENCES tidemark_streams (stream),
    name TEXT NOT NULL,
    -- Raised when a reader claims the name, by a random step; only the newest may move the checkpoint.
    generation INTEGER NOT NULL,
    position INTEGER NOT NULL DEFAULT 0,
    -- The number of the newest commit in the snapshot of the checkpoint.
    commit_number INTEGER NOT NULL DEFAULT 0,
    -- What was delivered up to the checkpoint, from the beginning: how many events, and a sum over their IDs and commit
    -- numbers. Null where that is not known.
    delivered_count INTEGER DEFAULT 0,
    delivered_sum INTEGER DEFAULT 0,
    updated_at INTEGER NOT NULL,
    -- The last event at or below the checkpoint, and the number of its commit, by which the database is known again. Null
    -- where there is none, or where it was not kept.
    passed_id INTEGER,
    passed_commit INTEGER,
    -- The process that has the newest claim, and its file as of a writer; null when the claim was given back.
    holder_process_id INTEGER,
    holder_process_file TEXT,
    -- Drawn at each claim, with which its holder shows that it is the one.
    claim_key INTEGER,
    -- Where it began, or was moved to: what was delivered is counted from there.
    start_after INTEGER NOT NULL DEFAULT 0,
    -- Which events it is given, as one JSON object; null where it is all of them.
    filter TEXT,
    -- The part of what it was to be given that was pruned since, counted and summed up as what was delivered.
    pruned_count INTEGER NOT NULL DEFAULT 0,
    pruned_sum INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (stream, name)
) STRICT, WITHOUT ROWID;

-- The partitions of consumers whose events are handed to handlers: each has a checkpoint of its own, and the consumer's
-- position is the least of them.
CREATE TABLE tidemark_partitions (
    stream INTEGER NOT NULL REFERENCES tidemark_streams (stream),
    consumer TEXT NOT NULL,
    partition INTEGER NOT NULL,
    -- The name of the hash by which events are in partitions.
    hash TEXT NOT NULL,
    -- Raised when a process claims the partition, by a random step; only the newest may move the checkpoint.
    claim INTEGER NOT NULL,
    -- The process that has it, as in `tidemark_processes`; null where nobody has.
    owner INTEGER,
    -- As of a consumer.
    position INTEGER NOT NULL,
    commit_number INTEGER NOT NULL DEFAULT 0,
    delivered_count INTEGER,
    delivered_sum INTEGER,
    passed_id INTEGER,
    passed_commit INTEGER,
    updated_at INTEGER NOT NULL,
    -- The event whose handler runs for longest, and since when, as of the owner's last heartbeat.
    oldest_id INTEGER,
    oldest_since INTEGER,
    -- As of a consumer.
    start_after INTEGER NOT NULL DEFAULT 0,
    pruned_count INTEGER NOT NULL DEFAULT 0,
    pruned_sum INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (stream, consumer, partition)
) STRICT, WITHOUT ROWID;

-- The processes that run such consumers. They write nothing of the stream, and are no members of it.
CREATE TABLE tidemark_processes (
    stream INTEGER NOT NULL REFERENCES tidemark_streams (stream),
    consumer TEXT NOT NULL,
    -- Random.
    process INTEGER NOT NULL,
    -- Counts up with each sign of life.
    heartbeat INTEGER NOT NULL DEFAULT 0,
    heartbeat_at INTEGER NOT NULL,
    -- As of a writer.
    process_id INTEGER,
    process_file TEXT,
    PRIMARY KEY (stream, consumer, process)
) STRICT, WITHOUT ROWID;

-- How often events were started that may have ended their process.
CREATE TABLE tidemark_attempts (
    stream INTEGER NOT NULL REFERENCES tidemark_streams (stream),
    consumer TEXT NOT NULL,
    partition INTEGER NOT NULL,
    stream_id INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    PRIMARY KEY (stream, consumer, partition, stream_id)
) STRICT, WITHOUT ROWID;

-- Copies of events that were passed without being handled.
CREATE TABLE tidemark_parked (
    stream INTEGER NOT NULL REFERENCES tidemark_streams (stream),
    consumer TEXT NOT NULL,
    stream_id INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    -- The columns of the event.
    kind INTEGER NOT NULL,
    event_id TEXT,
    type TEXT,
    key TEXT,
    payload BLOB,
    writer INTEGER NOT NULL,
    persisted_at INTEGER NOT NULL,
    commit_number INTEGER NOT NULL,
    metadata TEXT,
    -- 0: its attempts are used up. 1: its handler ran over the limit. 2: an earlier event of its key is parked.
    reason INTEGER NOT NULL CHECK (reason IN (0, 1, 2)),
    attempts INTEGER NOT NULL,
    problem TEXT NOT NULL,
    parked_at INTEGER NOT NULL,
    -- Whether it is to be tried again.
    is_retried INTEGER NOT NULL DEFAULT 0 CHECK (is_retried IN (0, 1)),
    PRIMARY KEY (stream, consumer, stream_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX tidemark_retries ON tidemark_parked (stream, consumer, partition, stream_id) WHERE is_retried = 1;

CREATE INDEX tidemark_parked_keys ON tidemark_parked (stream, consumer, key, stream_id) WHERE reason = 2;
