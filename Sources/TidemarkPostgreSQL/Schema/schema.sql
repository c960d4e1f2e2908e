-- The tables of Tidemark in a PostgreSQL database. `@namespace@` stands for the namespace (the "schema" of SQL) that they
-- live in, as a quoted identifier. The functions that write them are in the files beside this one.
--
-- Times are for people: nothing is ordered or decided by them.

CREATE SCHEMA @namespace@;

-- One row: the version of this schema. A database of an older version is migrated, one of a newer version is refused.
CREATE TABLE @namespace@.schema_version (
    version integer NOT NULL,
    -- Random: a place in a stream that is kept elsewhere names the database by it.
    database_id bigint NOT NULL DEFAULT uuid_hash_extended(gen_random_uuid(), 0) & 9223372036854775807,
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only)
);

INSERT INTO @namespace@.schema_version (version) VALUES (3);

-- The token of the running incarnation: one row, which every crash, immediate stop, promotion and base backup empties,
-- because the table is UNLOGGED, and which a clean restart keeps. A copy of the row in another database, or one that was
-- dumped and restored, is told by the transaction that made it, and by the database: it is valid only while they are
-- those of the row itself.
CREATE UNLOGGED TABLE @namespace@.token (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    incarnation bigint NOT NULL,
    made_by xid8 NOT NULL DEFAULT pg_current_xact_id(),
    database oid NOT NULL
);

-- An ordered log of events, and the one sequence that all its writers share.
CREATE TABLE @namespace@.streams (
    stream integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE,
    -- Of the stream's own: CACHE 1, because each ID has to be above all that were handed out before.
    sequence regclass NOT NULL,
    -- Raised by each join, leave and retirement, in their own transaction, by a random step.
    membership_version bigint NOT NULL DEFAULT 1,
    -- The highest epoch of all names that were forgotten: a name that is new begins above it, so that no epoch comes twice.
    forgotten_epoch bigint NOT NULL DEFAULT 0,
    -- The store that the stream was moved to, or is being moved to: nobody may use it here. Null where it is here.
    moved_to text,
    -- The store that the stream is being moved from: nobody may use it yet. Null where it is whole.
    arriving_from text,
    -- How far the stream was pruned: of what is at or below it only the ids of events are left. Nothing more will be committed
    -- there.
    pruned_through bigint NOT NULL DEFAULT 0,
    -- The newest event that was pruned, and its mark, by which the database is known again. Null where there is none.
    pruned_id bigint,
    pruned_mark bigint,
    -- How many events were pruned, and a sum as in a consumer's row.
    pruned_count bigint NOT NULL DEFAULT 0,
    pruned_sum bigint NOT NULL DEFAULT 0,
    -- The latest time at which an event was persisted that was pruned, in milliseconds since 1970-01-01 UTC.
    pruned_at bigint,
    -- Up to here the ids of events that were pruned are gone too: persisting one of them again makes a new event.
    forgotten_through bigint NOT NULL DEFAULT 0,
    -- From which ID on every event is in the index of keys, while it is built from the newest down; 0 where all are, and null
    -- where the stream has no index.
    keyed_from bigint
) WITH (fillfactor = 50);

-- Where each incarnation begins in a stream: rows above `after_id` are of this era, or of a later one. Transaction ids are
-- compared within an era only.
CREATE TABLE @namespace@.eras (
    stream integer NOT NULL REFERENCES @namespace@.streams (stream),
    after_id bigint NOT NULL,
    incarnation bigint NOT NULL,
    began_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (stream, incarnation)
);

-- Every instance that joined and was not forgotten. Only the newest epoch of a member may commit, and only above its
-- position.
CREATE TABLE @namespace@.instances (
    -- Events name their writer by it, so that it is never given away again.
    writer bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream integer NOT NULL REFERENCES @namespace@.streams (stream),
    instance text COLLATE "C" NOT NULL,
    epoch bigint NOT NULL,
    -- Drawn at each join: two databases, or two lives of one, have no writer in common. It is the idempotency key too.
    nonce bigint NOT NULL,
    -- The incarnation that it joined in; in another one its epoch is over.
    incarnation bigint NOT NULL,
    -- Each group names it; settling raises it, so that a group of unknown outcome can never commit later.
    fence bigint NOT NULL DEFAULT 0,
    is_member boolean NOT NULL,
    -- When it left or was retired; null while it is a member.
    left_at timestamptz,
    -- The durable position: no event of this epoch at or below it will be committed from now on.
    position bigint NOT NULL,
    -- Whether somebody else raised the position since the writer's last heartbeat.
    is_closed boolean NOT NULL DEFAULT false,
    -- Counts up with each sign of life.
    heartbeat bigint NOT NULL DEFAULT 0,
    heartbeat_at timestamptz NOT NULL,
    -- As of the last heartbeat: IDs that were handed out to this writer and are not finished.
    in_flight bigint NOT NULL DEFAULT 0,
    lowest_in_flight bigint,
    in_flight_since timestamptz,
    process_id integer,
    -- The direct connection of the writer's process holds this advisory lock for as long as it lives. Null where the
    -- process has none: then its life is not judged.
    life_key bigint,
    UNIQUE (stream, instance)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 500);

-- What a snapshot looks at: however many have left, it looks at members alone.
CREATE INDEX members ON @namespace@.instances (stream) WHERE is_member;

-- The names that left, the longest ago first: they are forgotten after a time.
CREATE INDEX left_instances ON @namespace@.instances (left_at) WHERE left_at IS NOT NULL;

-- The names of writers that were forgotten, for the events that they wrote.
CREATE TABLE @namespace@.former_instances (
    writer bigint PRIMARY KEY,
    instance text COLLATE "C" NOT NULL
);

-- One row for each finished ID.
CREATE TABLE @namespace@.events (
    stream integer NOT NULL,
    -- 0: an event; of one that was pruned its id and key are left. 1: a tombstone, so that no event can take the ID. 2: an
    -- event in a table of the user's own.
    kind smallint NOT NULL,
    stream_id bigint NOT NULL,
    writer bigint NOT NULL,
    -- Random, one for each commit: by it a row is told from that of another life of this database.
    mark bigint NOT NULL,
    -- The transaction, by which it is told whether a snapshot held the row; of the row's era only.
    transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
    persisted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    event_id text COLLATE "C",
    type text COLLATE "C",
    key text COLLATE "C",
    payload bytea,
    -- One JSON object of texts; null where the event has none.
    metadata text COLLATE "C",
    PRIMARY KEY (stream, stream_id),
    CHECK (kind BETWEEN 0 AND 2 AND stream_id >= 1),
    CHECK ((event_id IS NOT NULL) = (kind = 0) AND (type IS NOT NULL) = (kind = 0) AND (payload IS NOT NULL) = (kind = 0)),
    CHECK (metadata IS NULL OR kind = 0)
);

CREATE UNIQUE INDEX events_by_id ON @namespace@.events (stream, event_id) WHERE event_id IS NOT NULL;

-- The tombstones of each writer, of which there are few: a group of unknown outcome is settled with those that it may have left,
-- however long the stream is.
CREATE INDEX tombstones ON @namespace@.events (stream, writer, stream_id) WHERE kind = 1;

-- The events of each key, in streams that have an index of keys.
CREATE TABLE @namespace@.keys (
    stream integer NOT NULL,
    key text COLLATE "C" NOT NULL,
    stream_id bigint NOT NULL,
    PRIMARY KEY (stream, key, stream_id)
);

-- The newest event of each key that lost events to pruning.
CREATE TABLE @namespace@.pruned_keys (
    stream integer NOT NULL,
    key text COLLATE "C" NOT NULL,
    stream_id bigint NOT NULL,
    PRIMARY KEY (stream, key)
);

-- The checkpoints of background readers that keep their place here.
CREATE TABLE @namespace@.consumers (
    stream integer NOT NULL REFERENCES @namespace@.streams (stream),
    name text COLLATE "C" NOT NULL,
    -- Raised when a reader claims the name, by a random step; only the newest may move the checkpoint.
    generation bigint NOT NULL,
    -- The idempotency key of the newest claim; null when it was given back.
    claim_key bigint,
    position bigint NOT NULL DEFAULT 0,
    -- What the snapshot of the checkpoint had seen: "incarnation:pg_snapshot" as UTF-8. Null before the first.
    snapshot bytea,
    -- What was delivered up to the checkpoint, from the beginning: how many events, and a sum over their IDs and marks.
    -- Null where that is not known.
    delivered_count bigint DEFAULT 0,
    delivered_sum bigint DEFAULT 0,
    -- The last event at or below the checkpoint, and its mark, by which the database is known again. Null where there is
    -- none.
    passed_id bigint,
    passed_mark bigint,
    updated_at timestamptz NOT NULL,
    -- The process that has the newest claim, as of a writer; null when the claim was given back.
    holder_process_id integer,
    holder_key bigint,
    -- Where it began, or was moved to: what was delivered is counted from there.
    start_after bigint NOT NULL DEFAULT 0,
    -- Which events it is given, as one JSON object; null where it is all of them.
    filter text COLLATE "C",
    -- The part of what it was to be given that was pruned since, counted and summed up as what was delivered.
    pruned_count bigint NOT NULL DEFAULT 0,
    pruned_sum bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (stream, name)
) WITH (fillfactor = 50);

-- The partitions of consumers whose events are handed to handlers: each has a checkpoint of its own, and the consumer's
-- position is the least of them.
CREATE TABLE @namespace@.partitions (
    stream integer NOT NULL REFERENCES @namespace@.streams (stream),
    consumer text COLLATE "C" NOT NULL,
    partition integer NOT NULL,
    -- The name of the hash by which events are in partitions.
    hash text COLLATE "C" NOT NULL,
    -- Raised when a process claims the partition, by a random step; only the newest may move the checkpoint.
    claim bigint NOT NULL,
    -- The process that has it, as in `processes`; null where nobody has.
    owner bigint,
    -- As of a consumer.
    position bigint NOT NULL,
    snapshot bytea,
    delivered_count bigint,
    delivered_sum bigint,
    passed_id bigint,
    passed_mark bigint,
    updated_at timestamptz NOT NULL,
    -- The event whose handler runs for longest, and since when, as of the owner's last heartbeat.
    oldest_id bigint,
    oldest_since timestamptz,
    -- As of a consumer.
    start_after bigint NOT NULL DEFAULT 0,
    pruned_count bigint NOT NULL DEFAULT 0,
    pruned_sum bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (stream, consumer, partition)
) WITH (fillfactor = 50);

-- The processes that run such consumers. They write nothing of the stream, and are no members of it.
CREATE TABLE @namespace@.processes (
    stream integer NOT NULL REFERENCES @namespace@.streams (stream),
    consumer text COLLATE "C" NOT NULL,
    -- Random.
    process bigint NOT NULL,
    -- Counts up with each sign of life.
    heartbeat bigint NOT NULL,
    heartbeat_at timestamptz NOT NULL,
    -- As of a writer.
    process_id integer,
    life_key bigint,
    PRIMARY KEY (stream, consumer, process)
) WITH (fillfactor = 50);

-- How often events were started that may have ended their process.
CREATE TABLE @namespace@.attempts (
    stream integer NOT NULL REFERENCES @namespace@.streams (stream),
    consumer text COLLATE "C" NOT NULL,
    partition integer NOT NULL,
    stream_id bigint NOT NULL,
    attempts bigint NOT NULL,
    PRIMARY KEY (stream, consumer, partition, stream_id)
);

-- Copies of events that were passed without being handled.
CREATE TABLE @namespace@.parked (
    stream integer NOT NULL REFERENCES @namespace@.streams (stream),
    consumer text COLLATE "C" NOT NULL,
    stream_id bigint NOT NULL,
    partition integer NOT NULL,
    -- The columns of the event.
    kind smallint NOT NULL,
    writer bigint NOT NULL,
    mark bigint NOT NULL,
    persisted_at timestamptz NOT NULL,
    event_id text COLLATE "C",
    type text COLLATE "C",
    key text COLLATE "C",
    payload bytea,
    metadata text COLLATE "C",
    -- 0: its attempts are used up. 1: its handler ran over the limit. 2: an earlier event of its key is parked.
    reason integer NOT NULL CHECK (reason BETWEEN 0 AND 2),
    attempts bigint NOT NULL,
    problem text COLLATE "C" NOT NULL,
    parked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Whether it is to be tried again.
    is_retried boolean NOT NULL DEFAULT false,
    PRIMARY KEY (stream, consumer, stream_id)
);

CREATE INDEX retries ON @namespace@.parked (stream, consumer, partition, stream_id) WHERE is_retried;

CREATE INDEX parked_behind ON @namespace@.parked (stream, consumer, stream_id) WHERE reason = 2;
