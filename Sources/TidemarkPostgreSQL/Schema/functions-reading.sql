-- The functions of consumers, and those by which people see and end what stands in the way.

-- The last ID of the run of rows that begins right above this one, or the ID itself. What was pruned counts as rows.
CREATE FUNCTION @namespace@.end_of_run_1(stream_row integer, after_id bigint) RETURNS bigint
LANGUAGE sql STABLE AS $$
    WITH RECURSIVE run (id) AS (
        SELECT greatest($2, coalesce((SELECT s.pruned_through FROM @namespace@.streams s WHERE s.stream = $1), 0))
        UNION ALL
        -- One by one: a plan that reads the table for each row would take for ever.
        SELECT e.stream_id FROM run CROSS JOIN LATERAL (
            SELECT x.stream_id FROM @namespace@.events x WHERE x.stream = $1 AND x.stream_id = run.id + 1 LIMIT 1) e
    )
    SELECT max(run.id) FROM run
$$;

-- The highest ID with a row, or that had one before it was pruned; 0 where there is none.
CREATE FUNCTION @namespace@.newest_row_1(stream_row integer) RETURNS bigint
LANGUAGE sql STABLE AS $$
    SELECT greatest(
        coalesce((SELECT max(e.stream_id) FROM @namespace@.events e WHERE e.stream = $1), 0),
        coalesce((SELECT s.pruned_through FROM @namespace@.streams s WHERE s.stream = $1), 0))
$$;

-- What can be said from durable positions and rows alone: as far as all is finished. Without members nobody can commit.
CREATE FUNCTION @namespace@.minimum_persisted_1(stream_row integer) RETURNS bigint
LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN m.least IS NULL THEN @namespace@.newest_row_1($1)
        ELSE @namespace@.end_of_run_1($1, m.least) END
    FROM (SELECT min(i.position) AS least FROM @namespace@.instances i WHERE i.stream = $1 AND i.is_member) m
$$;

-- The last event at or below an ID, the newest that was pruned included; nulls where there is none.
CREATE FUNCTION @namespace@.last_event_1(stream_row integer, "position" bigint, OUT id bigint, OUT mark bigint)
LANGUAGE plpgsql STABLE SET random_page_cost = 0 AS $$
#variable_conflict use_column
BEGIN
    SELECT e.stream_id, e.mark INTO last_event_1.id, last_event_1.mark FROM @namespace@.events e
    WHERE e.stream = last_event_1.stream_row AND e.stream_id <= last_event_1.position AND e.kind <> 1
        AND e.stream_id > (SELECT s.pruned_through FROM @namespace@.streams s WHERE s.stream = last_event_1.stream_row)
    ORDER BY e.stream_id DESC LIMIT 1;
    IF FOUND THEN RETURN; END IF;
    SELECT s.pruned_id, s.pruned_mark INTO last_event_1.id, last_event_1.mark FROM @namespace@.streams s
    WHERE s.stream = last_event_1.stream_row AND s.pruned_id <= last_event_1.position;
END
$$;

-- Everything that follows the place is there: at or above the newest event that was pruned nothing was lost.
CREATE FUNCTION @namespace@.require_unpruned_1(stream_row integer, "position" bigint) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    mark bigint;
BEGIN
    SELECT s.pruned_through INTO mark FROM @namespace@.streams s
    WHERE s.stream = require_unpruned_1.stream_row AND s.pruned_id > require_unpruned_1.position;
    IF NOT FOUND THEN RETURN; END IF;
    RAISE EXCEPTION 'what follows % was pruned, up to %', require_unpruned_1.position, mark
    USING ERRCODE = 'TM030', DETAIL = json_build_object('id', require_unpruned_1.position, 'highest', mark)::text;
END
$$;

-- Whoever prunes a stream excludes those who put consumers at places of it.
CREATE FUNCTION @namespace@.prune_lock_1(stream_row integer) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT hashtextextended('@namespace_name@ prune ' || $1, 0)
$$;

-- Whether the event is there, with its mark, or was pruned.
CREATE FUNCTION @namespace@.holds_1(stream_row integer, id bigint, mark bigint, event_id text) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT coalesce(
        (SELECT e.kind <> 1 AND e.mark = $3 AND coalesce(e.event_id = $4, true)
        FROM @namespace@.events e WHERE e.stream = $1 AND e.stream_id = $2),
        (SELECT $2 < s.pruned_id OR $2 = s.pruned_id AND $3 = s.pruned_mark
        FROM @namespace@.streams s WHERE s.stream = $1), false)
$$;

-- The newest eras of a stream, ascending, a line each: incarnation, and the ID above which it begins.
CREATE FUNCTION @namespace@.eras_1(stream_row integer) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT coalesce(string_agg(concat_ws(' ', n.incarnation, n.after_id), E'\n' ORDER BY n.after_id), '')
    FROM (
        SELECT a.incarnation, a.after_id FROM @namespace@.eras a WHERE a.stream = $1 ORDER BY a.after_id DESC LIMIT 64
    ) n
$$;

-- What a snapshot that is taken now has seen, as a checkpoint keeps it: the incarnation, and what PostgreSQL calls a snapshot.
-- Where no incarnation runs, the newest era's with a minus sign: it compares no transaction ids.
CREATE FUNCTION @namespace@.snapshot_mark_1(stream_row integer) RETURNS bytea
LANGUAGE sql STABLE AS $$
    SELECT convert_to(concat(coalesce(@namespace@.incarnation_1(), -(
        SELECT a.incarnation FROM @namespace@.eras a WHERE a.stream = $1 ORDER BY a.after_id DESC LIMIT 1
    )), ':', pg_current_snapshot()), 'UTF8')
$$;

-- The incarnation of such a mark; null where it is of another kind.
CREATE FUNCTION @namespace@.mark_era_1(snapshot bytea) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN m.era <= 9223372036854775807 THEN m.era::bigint END
    FROM (SELECT substring(encode($1, 'escape') FROM '^-?([0-9]{1,19}):')::numeric AS era) m
$$;

-- Whether what was passed up to a place is not handed out again: a database that lost commits, with a promotion or a restore,
-- begins another incarnation below what was seen of the last one. Era: the newest that was seen when the place was reached;
-- nothing is compared where it is null.
CREATE FUNCTION @namespace@.require_era_1(stream_row integer, "position" bigint, era bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    next bigint;
    problem text;
BEGIN
    IF require_era_1.era IS NULL THEN RETURN; END IF;
    SELECT min(b.after_id) INTO next
    FROM @namespace@.eras a LEFT JOIN @namespace@.eras b ON b.stream = a.stream AND b.after_id > a.after_id
    WHERE a.stream = require_era_1.stream_row AND a.incarnation = require_era_1.era
    GROUP BY a.after_id;
    IF NOT FOUND THEN
        problem := 'the incarnation that was seen last is not there';
    ELSIF next < require_era_1.position THEN
        problem := format('an incarnation has begun that hands out the IDs above %s again', next);
    ELSE
        RETURN;
    END IF;
    RAISE EXCEPTION 'the database has lost commits: %', problem
    USING ERRCODE = 'TM025', DETAIL = json_build_object('id', require_era_1.position, 'problem', problem)::text;
END
$$;

-- Whether what a checkpoint stands on is there: the sequence has come as far, the event that was passed is what it was, and
-- no ID that was passed is handed out again.
CREATE FUNCTION @namespace@.require_place_1(
    stream_row integer, consumer text, "position" bigint, snapshot bytea, passed_id bigint, passed_mark bigint
) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    newest bigint;
    problem text;
    wrong_id bigint := require_place_1.position;
BEGIN
    SELECT coalesce(pg_sequence_last_value(s.sequence), 0) INTO newest
    FROM @namespace@.streams s WHERE s.stream = require_place_1.stream_row;
    PERFORM @namespace@.require_unpruned_1(require_place_1.stream_row, require_place_1.position);
    IF newest < require_place_1.position THEN
        problem := format('consumer %s has come as far, but the sequence only to %s', require_place_1.consumer, newest);
    ELSIF require_place_1.passed_id IS NOT NULL AND NOT @namespace@.holds_1(
        require_place_1.stream_row, require_place_1.passed_id, require_place_1.passed_mark, NULL)
    THEN
        wrong_id := require_place_1.passed_id;
        problem := format('the event that consumer %s has passed is not there now', require_place_1.consumer);
    ELSE
        PERFORM @namespace@.require_era_1(
            require_place_1.stream_row, require_place_1.position, @namespace@.mark_era_1(require_place_1.snapshot));
        RETURN;
    END IF;
    RAISE EXCEPTION 'the database went backwards: %', problem
    USING ERRCODE = 'TM008', DETAIL = json_build_object('id', wrong_id, 'problem', problem)::text;
END
$$;

-- The newest claim of a consumer, for `claim_consumer_1`: 0 where nobody has claimed it.
CREATE FUNCTION @namespace@.newest_claim_1(stream text, consumer text) RETURNS bigint
LANGUAGE sql STABLE AS $$
    SELECT coalesce((
        SELECT c.generation FROM @namespace@.consumers c JOIN @namespace@.streams s ON s.stream = c.stream
        WHERE s.name = $1 AND c.name = $2), 0)
$$;

-- Puts a consumer after an ID, no higher than everything is finished; where it may be lowered it is, and otherwise that is an
-- error. Confirmed is as far as a reader has seen that, with the members of this version. Of a place that was kept elsewhere
-- the database, the mark of the last event up to it, and the newest era then, are compared. Returns where the consumer is then.
CREATE FUNCTION @namespace@.put_consumer_1(
    stream_row integer, consumer text, target bigint, may_be_lowered boolean, target_database bigint, target_mark bigint,
    target_era bigint, confirmed bigint, confirmed_version bigint
) RETURNS bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    highest bigint;
    place bigint;
    passed_id bigint;
    passed_mark bigint;
BEGIN
    IF put_consumer_1.target_database <> (SELECT v.database_id FROM @namespace@.schema_version v) THEN
        RAISE EXCEPTION 'the place is one of another database' USING ERRCODE = 'TM020';
    END IF;
    PERFORM @namespace@.require_era_1(
        put_consumer_1.stream_row, put_consumer_1.target, put_consumer_1.target_era);
    PERFORM pg_advisory_xact_lock_shared(@namespace@.prune_lock_1(put_consumer_1.stream_row));
    highest := @namespace@.minimum_persisted_1(put_consumer_1.stream_row);
    highest := greatest(highest, (
        SELECT least(put_consumer_1.confirmed, coalesce(pg_sequence_last_value(s.sequence), 0))
        FROM @namespace@.streams s
        WHERE s.stream = put_consumer_1.stream_row AND s.membership_version = put_consumer_1.confirmed_version));
    place := put_consumer_1.target;
    IF put_consumer_1.may_be_lowered THEN place := least(place, highest); END IF;
    IF place < 0 OR place > highest THEN
        RAISE EXCEPTION '% is not reached, it is finished up to %', place, highest
        USING ERRCODE = 'TM012', DETAIL = json_build_object('id', place, 'highest', highest)::text;
    END IF;
    PERFORM @namespace@.require_unpruned_1(put_consumer_1.stream_row, place);
    SELECT l.id, l.mark INTO passed_id, passed_mark
    FROM @namespace@.last_event_1(put_consumer_1.stream_row, place) l;
    IF put_consumer_1.target_mark IS NOT NULL AND passed_mark IS DISTINCT FROM put_consumer_1.target_mark THEN
        RAISE EXCEPTION 'the database went backwards: the last event up to % is another', place
        USING ERRCODE = 'TM008', DETAIL = json_build_object('id', place, 'problem',
            'the last event up to there is not what it was when the place was kept')::text;
    END IF;
    UPDATE @namespace@.consumers co SET
        position = place, start_after = place, snapshot = @namespace@.snapshot_mark_1(put_consumer_1.stream_row),
        updated_at = clock_timestamp(), delivered_count = 0, delivered_sum = 0, passed_id = p.passed_id,
        passed_mark = p.passed_mark, pruned_count = 0, pruned_sum = 0
    FROM (SELECT passed_id AS passed_id, passed_mark AS passed_mark) p
    WHERE co.stream = put_consumer_1.stream_row AND co.name = put_consumer_1.consumer;
    RETURN place;
END
$$;

-- Takes the name of a consumer, whose newest claim has to be `replaces`. Makes the stream, and the consumer at its start,
-- where they are missing. With the key of the newest claim, which is that of a call whose answer was lost, it changes nothing.
CREATE FUNCTION @namespace@.claim_consumer_1(
    stream text, consumer text, replaces bigint, key bigint, taking_over boolean, process_id integer, life_key bigint,
    filter text, target bigint, may_be_lowered boolean, target_database bigint, target_mark bigint, target_era bigint,
    confirmed bigint, confirmed_version bigint, OUT generation bigint, OUT "position" bigint,
    OUT delivered_count bigint, OUT delivered_sum bigint,
    OUT passed_id bigint, OUT passed_mark bigint
)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    stream_row integer;
    c @namespace@.consumers%ROWTYPE;
BEGIN
    PERFORM @namespace@.begin_1();
    stream_row := @namespace@.make_stream_1(claim_consumer_1.stream);
    PERFORM pg_advisory_xact_lock_shared(@namespace@.move_lock_1(claim_consumer_1.stream));
    PERFORM @namespace@.require_here_1(claim_consumer_1.stream);
    IF EXISTS (
        SELECT FROM @namespace@.partitions p WHERE p.stream = stream_row AND p.consumer = claim_consumer_1.consumer)
    THEN
        RAISE EXCEPTION 'consumer % is a processor', claim_consumer_1.consumer USING ERRCODE = 'TM024';
    END IF;
    INSERT INTO @namespace@.consumers (stream, name, generation, updated_at, filter)
    VALUES (stream_row, claim_consumer_1.consumer, 0, clock_timestamp(), claim_consumer_1.filter)
    ON CONFLICT (stream, name) DO NOTHING;
    IF FOUND THEN
        PERFORM @namespace@.put_consumer_1(
            stream_row, claim_consumer_1.consumer, claim_consumer_1.target, claim_consumer_1.may_be_lowered,
            claim_consumer_1.target_database, claim_consumer_1.target_mark, claim_consumer_1.target_era,
            claim_consumer_1.confirmed, claim_consumer_1.confirmed_version);
    END IF;
    SELECT * INTO STRICT c FROM @namespace@.consumers co
    WHERE co.stream = stream_row AND co.name = claim_consumer_1.consumer FOR UPDATE;
    IF c.filter IS DISTINCT FROM claim_consumer_1.filter THEN
        RAISE EXCEPTION 'consumer % has another filter', c.name
        USING ERRCODE = 'TM021', DETAIL = json_build_object('filter', c.filter)::text;
    END IF;
    IF c.claim_key IS DISTINCT FROM claim_consumer_1.key THEN
        PERFORM @namespace@.require_place_1(stream_row, c.name, c.position, c.snapshot, c.passed_id, c.passed_mark);
        IF NOT claim_consumer_1.taking_over AND c.holder_key IS NOT NULL
            AND NOT @namespace@.is_gone_1(c.holder_key)
        THEN
            RAISE EXCEPTION 'consumer % is in use', c.name
            USING ERRCODE = 'TM011', DETAIL = json_build_object('process_id', c.holder_process_id)::text;
        END IF;
        IF c.generation <> claim_consumer_1.replaces THEN
            RAISE EXCEPTION 'consumer % was claimed meanwhile', c.name USING ERRCODE = 'TM010';
        END IF;
        UPDATE @namespace@.consumers co SET
            generation = co.generation + @namespace@.random_step_1(), claim_key = claim_consumer_1.key,
            holder_process_id = claim_consumer_1.process_id, holder_key = claim_consumer_1.life_key
        WHERE co.stream = stream_row AND co.name = c.name
        RETURNING * INTO c;
    END IF;
    claim_consumer_1.generation := c.generation;
    claim_consumer_1.position := c.position;
    claim_consumer_1.delivered_count := c.delivered_count;
    claim_consumer_1.delivered_sum := c.delivered_sum;
    claim_consumer_1.passed_id := c.passed_id;
    claim_consumer_1.passed_mark := c.passed_mark;
END
$$;

-- Looks, under a lock on the consumer's row, whether the claim is the newest.
CREATE FUNCTION @namespace@.require_claim_1(stream text, consumer text, generation bigint) RETURNS @namespace@.consumers
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    c @namespace@.consumers%ROWTYPE;
BEGIN
    SELECT co.* INTO c FROM @namespace@.consumers co JOIN @namespace@.streams s ON s.stream = co.stream
    WHERE s.name = require_claim_1.stream AND co.name = require_claim_1.consumer FOR UPDATE OF co;
    IF c.generation > require_claim_1.generation THEN
        RAISE EXCEPTION 'consumer % was claimed by another reader', c.name USING ERRCODE = 'TM010';
    ELSIF c.generation IS DISTINCT FROM require_claim_1.generation THEN
        RAISE EXCEPTION 'the database knows nothing of this claim of consumer %', require_claim_1.consumer
        USING ERRCODE = 'TM008', DETAIL = json_build_object('id', coalesce(c.position, 0), 'problem', format(
            'it knows nothing of this claim of consumer %s', require_claim_1.consumer))::text;
    END IF;
    RETURN c;
END
$$;

-- Moves the checkpoint on; never back. Where it is said where the batch begins, the checkpoint has to be exactly there, and the
-- claim the one with the key: so it may be called in a transaction of the user's own, which commits once at most.
CREATE FUNCTION @namespace@.checkpoint_1(
    stream text, consumer text, generation bigint, "position" bigint, snapshot bytea, delivered_count bigint,
    delivered_sum bigint, passed_id bigint, passed_mark bigint, begins_at bigint DEFAULT NULL, key bigint DEFAULT NULL
) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    c @namespace@.consumers%ROWTYPE;
BEGIN
    PERFORM @namespace@.begin_1();
    PERFORM pg_advisory_xact_lock_shared(@namespace@.move_lock_1(checkpoint_1.stream));
    PERFORM @namespace@.require_here_1(checkpoint_1.stream);
    c := @namespace@.require_claim_1(checkpoint_1.stream, checkpoint_1.consumer, checkpoint_1.generation);
    IF checkpoint_1.begins_at IS NOT NULL THEN
        IF c.claim_key IS DISTINCT FROM checkpoint_1.key THEN
            RAISE EXCEPTION 'consumer % was claimed by another reader', c.name USING ERRCODE = 'TM010';
        ELSIF c.position > checkpoint_1.begins_at THEN
            RAISE EXCEPTION 'the batch begins at %, and consumer % is at % already', checkpoint_1.begins_at, c.name, c.position
            USING ERRCODE = 'TM022', DETAIL = json_build_object('id', c.position)::text;
        ELSIF c.position < checkpoint_1.begins_at THEN
            RAISE EXCEPTION 'the batch begins at %, and consumer % is only at %', checkpoint_1.begins_at, c.name, c.position
            USING ERRCODE = 'TM023', DETAIL = json_build_object('id', c.position)::text;
        END IF;
    END IF;
    PERFORM @namespace@.require_place_1(
        c.stream, c.name, checkpoint_1.position, checkpoint_1.snapshot, checkpoint_1.passed_id, checkpoint_1.passed_mark);
    IF checkpoint_1.position < c.position THEN RETURN; END IF;
    IF checkpoint_1.passed_id IS NULL THEN
        SELECT l.id, l.mark INTO checkpoint_1.passed_id, checkpoint_1.passed_mark
        FROM @namespace@.last_event_1(c.stream, checkpoint_1.position) l;
    END IF;
    UPDATE @namespace@.consumers co SET
        position = checkpoint_1.position, snapshot = checkpoint_1.snapshot, updated_at = clock_timestamp(),
        delivered_count = CASE WHEN checkpoint_1.position > co.position
            THEN checkpoint_1.delivered_count ELSE co.delivered_count END,
        delivered_sum = CASE WHEN checkpoint_1.position > co.position
            THEN checkpoint_1.delivered_sum ELSE co.delivered_sum END,
        passed_id = CASE WHEN checkpoint_1.position > co.position THEN checkpoint_1.passed_id ELSE co.passed_id END,
        passed_mark = CASE WHEN checkpoint_1.position > co.position THEN checkpoint_1.passed_mark ELSE co.passed_mark END
    WHERE co.stream = c.stream AND co.name = c.name;
END
$$;

-- Locks the row of a consumer that people change by hand; its stream's row.
CREATE FUNCTION @namespace@.lock_consumer_1(stream text, consumer text) RETURNS integer
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    stream_row integer;
BEGIN
    PERFORM @namespace@.begin_1();
    PERFORM pg_advisory_xact_lock_shared(@namespace@.move_lock_1(lock_consumer_1.stream));
    PERFORM @namespace@.require_here_1(lock_consumer_1.stream);
    SELECT s.stream INTO stream_row FROM @namespace@.streams s WHERE s.name = lock_consumer_1.stream;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no stream %', lock_consumer_1.stream USING ERRCODE = 'TM002';
    END IF;
    PERFORM FROM @namespace@.consumers c WHERE c.stream = stream_row AND c.name = lock_consumer_1.consumer FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no consumer %', lock_consumer_1.consumer
        USING ERRCODE = 'TM009', DETAIL = (
            SELECT json_build_object('known', coalesce(json_agg(c.name ORDER BY c.name), '[]'))::text
            FROM @namespace@.consumers c WHERE c.stream = stream_row);
    END IF;
    RETURN stream_row;
END
$$;

-- Whoever reads under the name can go on no more.
CREATE FUNCTION @namespace@.stop_reader_1(stream_row integer, consumer text) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    UPDATE @namespace@.consumers co SET
        generation = co.generation + @namespace@.random_step_1(), claim_key = NULL, holder_process_id = NULL,
        holder_key = NULL
    WHERE co.stream = stop_reader_1.stream_row AND co.name = stop_reader_1.consumer;
END
$$;

-- Moves a consumer by hand; the arguments are those of `put_consumer_1`. Returns where it is then.
CREATE FUNCTION @namespace@.move_consumer_1(
    stream text, consumer text, target bigint, may_be_lowered boolean, target_database bigint, target_mark bigint,
    target_era bigint
) RETURNS bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    stream_row integer := @namespace@.lock_consumer_1(move_consumer_1.stream, move_consumer_1.consumer);
    place bigint;
BEGIN
    PERFORM @namespace@.stop_reader_1(stream_row, move_consumer_1.consumer);
    place := @namespace@.put_consumer_1(
        stream_row, move_consumer_1.consumer, move_consumer_1.target, move_consumer_1.may_be_lowered,
        move_consumer_1.target_database, move_consumer_1.target_mark, move_consumer_1.target_era, NULL, NULL);
    -- A processor goes on from there, with new claims.
    PERFORM @namespace@.move_partitions_1(stream_row, move_consumer_1.consumer);
    RETURN place;
END
$$;

-- Gives a consumer another filter, from its checkpoint on.
CREATE FUNCTION @namespace@.change_filter_1(stream text, consumer text, filter text) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    stream_row integer := @namespace@.lock_consumer_1(change_filter_1.stream, change_filter_1.consumer);
BEGIN
    PERFORM @namespace@.stop_reader_1(stream_row, change_filter_1.consumer);
    UPDATE @namespace@.consumers co SET
        filter = change_filter_1.filter, start_after = co.position, delivered_count = 0, delivered_sum = 0,
        pruned_count = 0, pruned_sum = 0
    WHERE co.stream = stream_row AND co.name = change_filter_1.consumer;
    -- Whoever runs a processor looks for its filter with its next claim.
    UPDATE @namespace@.partitions p SET
        claim = p.claim + @namespace@.random_step_1(), owner = NULL, start_after = p.position, delivered_count = 0,
        delivered_sum = 0, pruned_count = 0, pruned_sum = 0
    WHERE p.stream = stream_row AND p.consumer = change_filter_1.consumer;
END
$$;

-- Removes a consumer with its place.
CREATE FUNCTION @namespace@.delete_consumer_1(stream text, consumer text, taking_over boolean) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    stream_row integer := @namespace@.lock_consumer_1(delete_consumer_1.stream, delete_consumer_1.consumer);
    c @namespace@.consumers%ROWTYPE;
    user_process_id integer;
BEGIN
    SELECT * INTO STRICT c FROM @namespace@.consumers co
    WHERE co.stream = stream_row AND co.name = delete_consumer_1.consumer;
    -- Whoever reads under the name, or runs the processor.
    SELECT u.process_id INTO user_process_id FROM (
        SELECT c.holder_process_id AS process_id, c.holder_key AS life_key
        UNION ALL
        SELECT p.process_id, p.life_key FROM @namespace@.processes p
        WHERE p.stream = stream_row AND p.consumer = delete_consumer_1.consumer
    ) u
    WHERE u.life_key IS NOT NULL AND NOT @namespace@.is_gone_1(u.life_key) LIMIT 1;
    IF FOUND AND NOT delete_consumer_1.taking_over THEN
        RAISE EXCEPTION 'consumer % is in use', c.name
        USING ERRCODE = 'TM011', DETAIL = json_build_object('process_id', user_process_id)::text;
    END IF;
    DELETE FROM @namespace@.consumers co WHERE co.stream = stream_row AND co.name = c.name;
    DELETE FROM @namespace@.partitions p WHERE p.stream = stream_row AND p.consumer = c.name;
    DELETE FROM @namespace@.processes p WHERE p.stream = stream_row AND p.consumer = c.name;
    DELETE FROM @namespace@.attempts a WHERE a.stream = stream_row AND a.consumer = c.name;
    DELETE FROM @namespace@.parked k WHERE k.stream = stream_row AND k.consumer = c.name;
END
$$;

-- The transactions that share a lock of the writer, or of any member of the stream where the instance is null, the oldest
-- first: a backend, or a prepared transaction, which has no process, outlives a crash, and can only be committed or rolled
-- back by whoever prepared it.
CREATE FUNCTION @namespace@.holders_1(stream text, instance text)
RETURNS TABLE (
    holding_for text, process_id integer, role text, application text, state text, age_ms bigint, prepared text
)
LANGUAGE sql STABLE AS $$
    SELECT DISTINCT w.instance, l.pid, coalesce(a.usename::text, p.owner::text), a.application_name, a.state,
        (extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, p.prepared)) * 1000)::bigint AS age, p.gid
    FROM (
        SELECT i.instance FROM @namespace@.instances i JOIN @namespace@.streams s ON s.stream = i.stream
        WHERE s.name = $1 AND (i.instance = $2 OR $2 IS NULL AND i.is_member)
    ) w
    JOIN pg_catalog.pg_locks l ON l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
        AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())
        AND (l.classid::bigint << 32 | l.objid::bigint) IN (
            @namespace@.writer_lock_1($1, w.instance), @namespace@.group_lock_1($1, w.instance))
    LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
    LEFT JOIN pg_catalog.pg_locks t ON l.pid IS NULL AND t.pid IS NULL AND t.locktype = 'transactionid'
        AND t.virtualtransaction = l.virtualtransaction
    LEFT JOIN pg_catalog.pg_prepared_xacts p ON p.transaction = t.transactionid
    ORDER BY age DESC NULLS LAST
$$;

-- Ends the backends of those that have been in their transaction for longer than this; how many it ended. A role may end
-- its own backends; those of others need the rights of pg_signal_backend.
CREATE FUNCTION @namespace@.end_holders_1(stream text, instance text, older_than_ms bigint) RETURNS bigint
LANGUAGE sql VOLATILE AS $$
    SELECT count(*) FILTER (WHERE pg_terminate_backend(h.process_id))
    FROM @namespace@.holders_1($1, $2) h
    WHERE h.process_id IS NOT NULL AND h.process_id <> pg_backend_pid() AND h.age_ms > $3
$$;

-- Makes the functions run with the rights of their owner, or of their caller. With the owner's, writers need nothing but
-- EXECUTE; it costs a group of one event some of its rate.
CREATE FUNCTION @namespace@.use_owner_rights_1(owners boolean) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    f regprocedure;
BEGIN
    FOR f IN
        SELECT p.oid FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
        JOIN pg_catalog.pg_language l ON l.oid = p.prolang
        WHERE n.nspname = '@namespace_name@' AND l.lanname = 'plpgsql'
            AND p.proname NOT IN ('make_stream_1', 'use_owner_rights_1')
    LOOP
        IF owners THEN
            EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = pg_catalog, pg_temp', f);
        ELSE
            EXECUTE format('ALTER FUNCTION %s SECURITY INVOKER RESET search_path', f);
        END IF;
    END LOOP;
END
$$;
