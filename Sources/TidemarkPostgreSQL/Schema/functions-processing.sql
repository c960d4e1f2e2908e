-- The functions by which processors keep their places, and what they have parked.

-- The row number of the stream of a processor, under a lock on its consumer: what is written of one processor is written one
-- after the other, so that each sees what the others have written.
CREATE FUNCTION @namespace@.lock_processor_1(stream text, consumer text) RETURNS integer
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    stream_row integer;
BEGIN
    PERFORM @namespace@.begin_1();
    PERFORM pg_advisory_xact_lock_shared(@namespace@.move_lock_1(lock_processor_1.stream));
    SELECT s.stream INTO stream_row FROM @namespace@.streams s WHERE s.name = lock_processor_1.stream;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no stream %', lock_processor_1.stream USING ERRCODE = 'TM002';
    END IF;
    PERFORM @namespace@.require_here_1(lock_processor_1.stream);
    PERFORM FROM @namespace@.consumers c WHERE c.stream = stream_row AND c.name = lock_processor_1.consumer FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no consumer %', lock_processor_1.consumer
        USING ERRCODE = 'TM009', DETAIL = (
            SELECT json_build_object('known', coalesce(json_agg(c.name ORDER BY c.name), '[]'))::text
            FROM @namespace@.consumers c WHERE c.stream = stream_row);
    END IF;
    RETURN stream_row;
END
$$;

-- Makes a processor of a consumer that is none yet, with partitions that begin at its checkpoint. How many partitions it has,
-- and by which hash, is returned: the caller compares it.
CREATE FUNCTION @namespace@.open_processor_1(
    stream text, consumer text, filter text, partitions integer, hash text, OUT partition_count integer,
    OUT partition_hash text
)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    stream_row integer := @namespace@.lock_processor_1(open_processor_1.stream, open_processor_1.consumer);
    c @namespace@.consumers%ROWTYPE;
    last_id bigint;
    last_mark bigint;
BEGIN
    SELECT * INTO STRICT c FROM @namespace@.consumers co
    WHERE co.stream = stream_row AND co.name = open_processor_1.consumer;
    IF c.filter IS DISTINCT FROM open_processor_1.filter THEN
        RAISE EXCEPTION 'consumer % has another filter', c.name
        USING ERRCODE = 'TM021', DETAIL = json_build_object('filter', c.filter)::text;
    END IF;
    SELECT count(*)::integer, max(p.hash) INTO open_processor_1.partition_count, open_processor_1.partition_hash
    FROM @namespace@.partitions p WHERE p.stream = stream_row AND p.consumer = c.name;
    IF open_processor_1.partition_count > 0 THEN RETURN; END IF;
    PERFORM @namespace@.require_place_1(stream_row, c.name, c.position, c.snapshot, c.passed_id, c.passed_mark);
    PERFORM @namespace@.stop_reader_1(stream_row, c.name);
    SELECT l.id, l.mark INTO last_id, last_mark FROM @namespace@.last_event_1(stream_row, c.position) l;
    INSERT INTO @namespace@.partitions
        (stream, consumer, partition, hash, claim, position, snapshot, delivered_count, delivered_sum, passed_id,
        passed_mark, updated_at, start_after)
    SELECT stream_row, c.name, n, open_processor_1.hash, @namespace@.random_step_1(), c.position,
        @namespace@.snapshot_mark_1(stream_row), 0, 0, last_id, last_mark, clock_timestamp(), c.position
    FROM generate_series(0, open_processor_1.partitions - 1) n;
    open_processor_1.partition_count := open_processor_1.partitions;
    open_processor_1.partition_hash := open_processor_1.hash;
END
$$;

-- Writes the heartbeat of a process, and returns all processes and partitions as one JSON object.
CREATE FUNCTION @namespace@.beat_processor_1(
    stream text, consumer text, process bigint, process_id integer, life_key bigint, forget_processes bigint[],
    forget_heartbeats bigint[], oldest_partitions bigint[], oldest_ids bigint[], oldest_ms bigint[]
) RETURNS text
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    stream_row integer;
BEGIN
    stream_row := @namespace@.lock_processor_1(beat_processor_1.stream, beat_processor_1.consumer);
    IF NOT EXISTS (
        SELECT FROM @namespace@.partitions p WHERE p.stream = stream_row AND p.consumer = beat_processor_1.consumer)
    THEN
        RAISE EXCEPTION 'consumer % is no processor', beat_processor_1.consumer
        USING ERRCODE = 'TM009', DETAIL = (
            SELECT json_build_object('known', coalesce(json_agg(c.name ORDER BY c.name), '[]'))::text
            FROM @namespace@.consumers c WHERE c.stream = stream_row);
    END IF;
    INSERT INTO @namespace@.processes AS p (stream, consumer, process, heartbeat, heartbeat_at, process_id, life_key)
    VALUES (stream_row, beat_processor_1.consumer, beat_processor_1.process, 1, clock_timestamp(),
        beat_processor_1.process_id, beat_processor_1.life_key)
    ON CONFLICT (stream, consumer, process) DO UPDATE SET
        heartbeat = p.heartbeat + 1, heartbeat_at = excluded.heartbeat_at, life_key = excluded.life_key;
    DELETE FROM @namespace@.processes p
    USING unnest(beat_processor_1.forget_processes, beat_processor_1.forget_heartbeats) f (process, heartbeat)
    WHERE p.stream = stream_row AND p.consumer = beat_processor_1.consumer AND p.process = f.process
        AND p.heartbeat = f.heartbeat
        AND NOT EXISTS (
            SELECT FROM @namespace@.partitions o
            WHERE o.stream = p.stream AND o.consumer = p.consumer AND o.owner = p.process);
    UPDATE @namespace@.partitions p SET
        oldest_id = f.id, oldest_since = clock_timestamp() - f.ms * interval '1 millisecond'
    FROM @namespace@.partitions q
    LEFT JOIN unnest(beat_processor_1.oldest_partitions, beat_processor_1.oldest_ids, beat_processor_1.oldest_ms)
        f (partition, id, ms) ON f.partition = q.partition
    WHERE q.stream = stream_row AND q.consumer = beat_processor_1.consumer AND q.owner = beat_processor_1.process
        AND p.stream = q.stream AND p.consumer = q.consumer AND p.partition = q.partition
        AND (f.id IS NOT NULL OR p.oldest_id IS NOT NULL);
    RETURN json_build_object(
        'processes', (
            SELECT json_agg(json_build_object(
                'process', p.process, 'heartbeat', p.heartbeat, 'is_gone',
                p.process <> beat_processor_1.process AND p.life_key IS NOT NULL AND @namespace@.is_gone_1(p.life_key)))
            FROM @namespace@.processes p WHERE p.stream = stream_row AND p.consumer = beat_processor_1.consumer),
        'partitions', (
            SELECT json_agg(json_build_object(
                'partition', p.partition, 'owner', p.owner, 'claim', p.claim, 'position', p.position, 'retries', (
                    SELECT count(*) FROM @namespace@.parked k
                    WHERE k.stream = p.stream AND k.consumer = p.consumer AND k.partition = p.partition
                        AND k.is_retried)) ORDER BY p.partition)
            FROM @namespace@.partitions p WHERE p.stream = stream_row AND p.consumer = beat_processor_1.consumer))::text;
END
$$;

-- Claims those partitions that still are what was observed, and returns them as a JSON array.
CREATE FUNCTION @namespace@.claim_partitions_1(
    stream text, consumer text, process bigint, numbers bigint[], claims bigint[], owners bigint[], heartbeats bigint[]
) RETURNS text
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    stream_row integer;
    o record;
    p @namespace@.partitions%ROWTYPE;
    found_process @namespace@.processes%ROWTYPE;
    is_unclean boolean;
    answers jsonb := '[]';
BEGIN
    stream_row := @namespace@.lock_processor_1(claim_partitions_1.stream, claim_partitions_1.consumer);
    FOR o IN
        SELECT * FROM unnest(
            claim_partitions_1.numbers, claim_partitions_1.claims, claim_partitions_1.owners,
            claim_partitions_1.heartbeats) u (partition, claim, owner, heartbeat)
    LOOP
        SELECT * INTO p FROM @namespace@.partitions pa
        WHERE pa.stream = stream_row AND pa.consumer = claim_partitions_1.consumer AND pa.partition = o.partition;
        CONTINUE WHEN NOT FOUND OR p.claim <> o.claim OR p.owner IS DISTINCT FROM o.owner;
        IF o.owner <> claim_partitions_1.process THEN
            SELECT * INTO found_process FROM @namespace@.processes pr
            WHERE pr.stream = stream_row AND pr.consumer = claim_partitions_1.consumer AND pr.process = o.owner;
            CONTINUE WHEN FOUND AND NOT coalesce(
                found_process.heartbeat = o.heartbeat, @namespace@.is_gone_1(found_process.life_key), false);
        END IF;
        PERFORM @namespace@.require_place_1(
            stream_row, claim_partitions_1.consumer, p.position, p.snapshot, p.passed_id, p.passed_mark);
        is_unclean := coalesce(p.owner <> claim_partitions_1.process, false);
        UPDATE @namespace@.partitions pa SET
            claim = pa.claim + @namespace@.random_step_1(), owner = claim_partitions_1.process, oldest_id = NULL,
            oldest_since = NULL
        WHERE pa.stream = stream_row AND pa.consumer = claim_partitions_1.consumer AND pa.partition = p.partition
        RETURNING * INTO p;
        answers := answers || jsonb_build_array(jsonb_build_object(
            'partition', p.partition, 'claim', p.claim, 'position', p.position, 'delivered_count', p.delivered_count,
            'delivered_sum', p.delivered_sum, 'passed_id', p.passed_id, 'passed_mark', p.passed_mark,
            'unclean_through', CASE WHEN is_unclean THEN (
                SELECT coalesce(pg_sequence_last_value(s.sequence), 0) FROM @namespace@.streams s
                WHERE s.stream = stream_row) END,
            'attempts', (
                SELECT coalesce(jsonb_agg(jsonb_build_object('id', a.stream_id, 'attempts', a.attempts)), '[]')
                FROM @namespace@.attempts a
                WHERE a.stream = stream_row AND a.consumer = p.consumer AND a.partition = p.partition),
            'parked', (
                SELECT coalesce(jsonb_agg(jsonb_build_object('id', k.stream_id, 'key', k.key)), '[]')
                FROM (
                    SELECT pk.stream_id, pk.key FROM @namespace@.parked pk
                    WHERE pk.stream = stream_row AND pk.consumer = p.consumer AND pk.partition = p.partition
                        AND pk.key IS NOT NULL
                    ORDER BY pk.stream_id LIMIT 100000) k)));
    END LOOP;
    RETURN answers::text;
END
$$;

-- Moves one partition on, parks, and gives it back where that is wanted; whether the claim is the newest. The caller has the
-- lock. A position that is null moves nothing. Where the partition is below where its process takes it to be, the database has
-- lost what was passed, and parked, in between: then the claim counts for over.
CREATE FUNCTION @namespace@.pass_partition_1(
    stream_row integer, consumer text, number integer, claim bigint, begins_at bigint, "position" bigint,
    snapshot bytea, delivered_count bigint, delivered_sum bigint, passed_id bigint, passed_mark bigint, releases boolean
) RETURNS boolean
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    p @namespace@.partitions%ROWTYPE;
BEGIN
    SELECT * INTO p FROM @namespace@.partitions pa
    WHERE pa.stream = pass_partition_1.stream_row AND pa.consumer = pass_partition_1.consumer
        AND pa.partition = pass_partition_1.number;
    IF NOT FOUND OR p.claim <> pass_partition_1.claim OR p.owner IS NULL OR p.position < pass_partition_1.begins_at THEN
        RETURN false;
    END IF;
    IF pass_partition_1.position IS NOT NULL THEN
        PERFORM @namespace@.require_place_1(
            p.stream, p.consumer, pass_partition_1.position, pass_partition_1.snapshot, pass_partition_1.passed_id,
            pass_partition_1.passed_mark);
        UPDATE @namespace@.partitions pa SET
            position = pass_partition_1.position, snapshot = coalesce(pass_partition_1.snapshot, pa.snapshot),
            delivered_count = pass_partition_1.delivered_count, delivered_sum = pass_partition_1.delivered_sum,
            passed_id = pass_partition_1.passed_id, passed_mark = pass_partition_1.passed_mark,
            updated_at = clock_timestamp()
        WHERE pa.stream = p.stream AND pa.consumer = p.consumer AND pa.partition = p.partition
            AND pa.position < pass_partition_1.position;
        DELETE FROM @namespace@.attempts a
        WHERE a.stream = p.stream AND a.consumer = p.consumer AND a.partition = p.partition
            AND a.stream_id <= pass_partition_1.position;
    END IF;
    IF pass_partition_1.releases THEN
        UPDATE @namespace@.partitions pa SET owner = NULL, oldest_id = NULL, oldest_since = NULL
        WHERE pa.stream = p.stream AND pa.consumer = p.consumer AND pa.partition = p.partition;
    END IF;
    RETURN true;
END
$$;

-- The checkpoints of several partitions, and what is parked with them; for each of them whether it was written.
CREATE FUNCTION @namespace@.checkpoint_partitions_1(
    stream text, consumer text, numbers bigint[], claims bigint[], begins bigint[], positions bigint[], snapshots bytea[],
    delivered_counts bigint[], delivered_sums bigint[], passed_ids bigint[], passed_marks bigint[], releases boolean[],
    parked_partitions bigint[], parked_ids bigint[], reasons bigint[], attempts bigint[], problems text[]
) RETURNS bigint[]
LANGUAGE plpgsql SET random_page_cost = 0 AS $$
#variable_conflict use_column
DECLARE
    stream_row integer;
    n integer;
    answers bigint[] := '{}';
    befores bigint[];
BEGIN
    stream_row := @namespace@.lock_processor_1(checkpoint_partitions_1.stream, checkpoint_partitions_1.consumer);
    befores := ARRAY(
        SELECT coalesce(p.position, 0) FROM unnest(checkpoint_partitions_1.numbers) WITH ORDINALITY u (number, n)
        LEFT JOIN @namespace@.partitions p ON p.stream = stream_row AND p.consumer = checkpoint_partitions_1.consumer
            AND p.partition = u.number
        ORDER BY u.n);
    FOR n IN 1 .. cardinality(checkpoint_partitions_1.numbers) LOOP
        answers := answers || (CASE WHEN @namespace@.pass_partition_1(
            stream_row, checkpoint_partitions_1.consumer, checkpoint_partitions_1.numbers[n]::integer,
            checkpoint_partitions_1.claims[n], checkpoint_partitions_1.begins[n],
            checkpoint_partitions_1.positions[n], checkpoint_partitions_1.snapshots[n],
            checkpoint_partitions_1.delivered_counts[n],
            checkpoint_partitions_1.delivered_sums[n], checkpoint_partitions_1.passed_ids[n],
            checkpoint_partitions_1.passed_marks[n], checkpoint_partitions_1.releases[n]) THEN 1 ELSE 0 END)::bigint;
    END LOOP;
    -- Of what was pruned nothing is left that could be parked.
    PERFORM @namespace@.require_unpruned_1(stream_row, u.id - 1) FROM unnest(checkpoint_partitions_1.parked_ids) u (id);
    -- The copies that stay, whatever becomes of the events. What a handler's transaction has passed meanwhile was handled.
    INSERT INTO @namespace@.parked AS k
        (stream, consumer, stream_id, partition, kind, writer, mark, persisted_at, event_id, type, key, payload, metadata,
        reason, attempts, problem)
    SELECT e.stream, checkpoint_partitions_1.consumer, e.stream_id, u.partition::integer, e.kind, e.writer, e.mark,
        e.persisted_at, e.event_id, e.type, e.key, e.payload, e.metadata, u.reason::integer, u.attempts, u.problem
    FROM unnest(
        checkpoint_partitions_1.parked_partitions, checkpoint_partitions_1.parked_ids, checkpoint_partitions_1.reasons,
        checkpoint_partitions_1.attempts, checkpoint_partitions_1.problems) u (partition, id, reason, attempts, problem)
    JOIN LATERAL (
        SELECT x.* FROM @namespace@.events x WHERE x.stream = stream_row AND x.stream_id = u.id AND x.kind <> 1 LIMIT 1
    ) e ON true
    WHERE answers[array_position(checkpoint_partitions_1.numbers, u.partition)] = 1
        AND u.id > befores[array_position(checkpoint_partitions_1.numbers, u.partition)]
    ON CONFLICT (stream, consumer, stream_id) DO UPDATE SET
        reason = excluded.reason, attempts = excluded.attempts, problem = excluded.problem,
        parked_at = excluded.parked_at;
    UPDATE @namespace@.consumers c SET
        position = least.position, snapshot = least.snapshot, updated_at = clock_timestamp(), delivered_count = NULL,
        delivered_sum = NULL, passed_id = NULL, passed_mark = NULL
    FROM (
        SELECT p.position, p.snapshot FROM @namespace@.partitions p
        WHERE p.stream = stream_row AND p.consumer = checkpoint_partitions_1.consumer ORDER BY p.position LIMIT 1
    ) least
    WHERE c.stream = stream_row AND c.name = checkpoint_partitions_1.consumer AND c.position <> least.position;
    RETURN answers;
END
$$;

-- Passes the next event of a partition in the transaction of the caller, together with what that makes of the event: both are
-- there, or neither. The arguments are those of a `PassingStatement`; what is parked with it is a JSON array.
--
-- To be called last: from here to the end of the transaction nobody else writes anything of the processor.
CREATE FUNCTION @namespace@.pass_event_1(
    stream text, consumer text, number bigint, claim bigint, begins_at bigint, id bigint, is_late boolean, snapshot bytea,
    delivered_count bigint, delivered_sum bigint, passed_id bigint, passed_mark bigint, parked text
) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    stream_row integer;
    p @namespace@.partitions%ROWTYPE;
    notes record;
BEGIN
    stream_row := @namespace@.lock_processor_1(pass_event_1.stream, pass_event_1.consumer);
    SELECT * INTO p FROM @namespace@.partitions pa
    WHERE pa.stream = stream_row AND pa.consumer = pass_event_1.consumer AND pa.partition = pass_event_1.number;
    IF NOT FOUND OR p.claim <> pass_event_1.claim OR p.owner IS NULL THEN
        RAISE EXCEPTION 'partition % of consumer % is another process''s now', pass_event_1.number, pass_event_1.consumer
        USING ERRCODE = 'TM010';
    END IF;
    IF p.position < pass_event_1.begins_at THEN
        RAISE EXCEPTION 'the database has lost what was passed of partition % of consumer % after %', pass_event_1.number,
            pass_event_1.consumer, p.position
        USING ERRCODE = 'TM010';
    END IF;
    IF NOT pass_event_1.is_late AND p.position >= pass_event_1.id OR pass_event_1.is_late AND NOT EXISTS (
        SELECT FROM @namespace@.parked k
        WHERE k.stream = stream_row AND k.consumer = pass_event_1.consumer AND k.stream_id = pass_event_1.id)
    THEN
        RAISE EXCEPTION 'event % was dealt with before', pass_event_1.id
        USING ERRCODE = 'TM022', DETAIL = json_build_object('id', p.position)::text;
    END IF;
    IF pass_event_1.is_late THEN
        PERFORM @namespace@.remove_parked_1(stream_row, pass_event_1.consumer, pass_event_1.id);
        RETURN;
    END IF;
    SELECT coalesce(array_agg(pass_event_1.number), '{}') AS partitions, coalesce(array_agg(n.id), '{}') AS ids,
        coalesce(array_agg(n.reason), '{}') AS reasons, coalesce(array_agg(n.attempts), '{}') AS attempts,
        coalesce(array_agg(n.problem), '{}') AS problems
    INTO notes
    FROM jsonb_to_recordset(coalesce(pass_event_1.parked, '[]')::jsonb)
        n (id bigint, reason bigint, attempts bigint, problem text);
    PERFORM @namespace@.checkpoint_partitions_1(
        pass_event_1.stream, pass_event_1.consumer, ARRAY[pass_event_1.number], ARRAY[pass_event_1.claim],
        ARRAY[pass_event_1.begins_at], ARRAY[pass_event_1.id], ARRAY[pass_event_1.snapshot], ARRAY[pass_event_1.delivered_count],
        ARRAY[pass_event_1.delivered_sum], ARRAY[pass_event_1.passed_id], ARRAY[pass_event_1.passed_mark], ARRAY[false],
        notes.partitions, notes.ids, notes.reasons, notes.attempts, notes.problems);
END
$$;

-- Counts one more start of each event; how often each was started, 0 where the claim is not the newest.
CREATE FUNCTION @namespace@.count_starts_1(
    stream text, consumer text, numbers bigint[], claims bigint[], ids bigint[]
) RETURNS bigint[]
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    stream_row integer;
    n integer;
    counted bigint;
    answers bigint[] := '{}';
BEGIN
    stream_row := @namespace@.lock_processor_1(count_starts_1.stream, count_starts_1.consumer);
    FOR n IN 1 .. cardinality(count_starts_1.ids) LOOP
        counted := NULL;
        INSERT INTO @namespace@.attempts AS a (stream, consumer, partition, stream_id, attempts)
        SELECT p.stream, p.consumer, p.partition, count_starts_1.ids[n], 1 FROM @namespace@.partitions p
        WHERE p.stream = stream_row AND p.consumer = count_starts_1.consumer
            AND p.partition = count_starts_1.numbers[n] AND p.claim = count_starts_1.claims[n] AND p.owner IS NOT NULL
        ON CONFLICT (stream, consumer, partition, stream_id) DO UPDATE SET attempts = a.attempts + 1
        RETURNING a.attempts INTO counted;
        answers := answers || coalesce(counted, 0);
    END LOOP;
    RETURN answers;
END
$$;

-- What the process owns still has an owner that is not there.
CREATE FUNCTION @namespace@.leave_processor_1(stream text, consumer text, process bigint) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    stream_row integer;
BEGIN
    stream_row := @namespace@.lock_processor_1(leave_processor_1.stream, leave_processor_1.consumer);
    DELETE FROM @namespace@.processes p
    WHERE p.stream = stream_row AND p.consumer = leave_processor_1.consumer AND p.process = leave_processor_1.process;
END
$$;

-- The parked events of a partition that are to be tried again. Their mark is taken away.
CREATE FUNCTION @namespace@.take_retries_1(stream text, consumer text, number integer, claim bigint, most integer)
RETURNS SETOF @namespace@.parked
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    stream_row integer;
BEGIN
    stream_row := @namespace@.lock_processor_1(take_retries_1.stream, take_retries_1.consumer);
    RETURN QUERY
    WITH taken AS (
        UPDATE @namespace@.parked k SET is_retried = false
        FROM (
            SELECT m.stream_id FROM @namespace@.parked m JOIN @namespace@.partitions p
                ON p.stream = m.stream AND p.consumer = m.consumer AND p.partition = m.partition
            WHERE m.stream = stream_row AND m.consumer = take_retries_1.consumer
                AND m.partition = take_retries_1.number AND m.is_retried AND p.claim = take_retries_1.claim
                AND p.owner IS NOT NULL
            ORDER BY m.stream_id LIMIT take_retries_1.most
        ) marked
        WHERE k.stream = stream_row AND k.consumer = take_retries_1.consumer AND k.stream_id = marked.stream_id
        RETURNING k.*
    )
    SELECT * FROM taken t ORDER BY t.stream_id;
END
$$;

-- Removes a parked event. What was parked behind it is to be tried next. The caller has the lock.
CREATE FUNCTION @namespace@.remove_parked_1(stream_row integer, consumer text, id bigint) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    UPDATE @namespace@.parked k SET is_retried = true
    WHERE k.stream = remove_parked_1.stream_row AND k.consumer = remove_parked_1.consumer AND k.stream_id = (
        SELECT min(n.stream_id) FROM @namespace@.parked n JOIN @namespace@.parked r
            ON r.stream = n.stream AND r.consumer = n.consumer AND r.stream_id = remove_parked_1.id AND r.key = n.key
        WHERE n.stream = remove_parked_1.stream_row AND n.consumer = remove_parked_1.consumer AND n.reason = 2
            AND n.stream_id > remove_parked_1.id);
    DELETE FROM @namespace@.parked k
    WHERE k.stream = remove_parked_1.stream_row AND k.consumer = remove_parked_1.consumer
        AND k.stream_id = remove_parked_1.id;
END
$$;

-- What became of parked events that were tried again: those without a reason were handled.
CREATE FUNCTION @namespace@.end_retries_1(
    stream text, consumer text, numbers bigint[], claims bigint[], ids bigint[], reasons bigint[], attempts bigint[],
    problems text[]
) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    stream_row integer;
    u record;
BEGIN
    stream_row := @namespace@.lock_processor_1(end_retries_1.stream, end_retries_1.consumer);
    FOR u IN
        SELECT x.* FROM unnest(
            end_retries_1.numbers, end_retries_1.claims, end_retries_1.ids, end_retries_1.reasons,
            end_retries_1.attempts, end_retries_1.problems) x (partition, claim, id, reason, attempts, problem)
        JOIN @namespace@.partitions p ON p.stream = stream_row AND p.consumer = end_retries_1.consumer
            AND p.partition = x.partition AND p.claim = x.claim AND p.owner IS NOT NULL
    LOOP
        IF u.reason IS NULL THEN
            PERFORM @namespace@.remove_parked_1(stream_row, end_retries_1.consumer, u.id);
        ELSE
            UPDATE @namespace@.parked k SET
                reason = u.reason::integer, attempts = k.attempts + u.attempts, problem = u.problem
            WHERE k.stream = stream_row AND k.consumer = end_retries_1.consumer AND k.stream_id = u.id;
        END IF;
    END LOOP;
END
$$;

-- Marks parked events to be tried again, or drops them: all where the IDs are null. How many; or those of the IDs, as negative
-- numbers, that are not parked, and then nothing is changed.
CREATE FUNCTION @namespace@.change_parked_1(stream text, consumer text, ids bigint[], drops boolean) RETURNS bigint[]
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    stream_row integer;
    missing bigint[];
    changed bigint;
    one bigint;
BEGIN
    stream_row := @namespace@.lock_processor_1(change_parked_1.stream, change_parked_1.consumer);
    SELECT array_agg(-i.id) INTO missing FROM unnest(change_parked_1.ids) i (id)
    WHERE NOT EXISTS (
        SELECT FROM @namespace@.parked k
        WHERE k.stream = stream_row AND k.consumer = change_parked_1.consumer AND k.stream_id = i.id);
    IF missing IS NOT NULL THEN RETURN missing; END IF;
    IF NOT change_parked_1.drops THEN
        UPDATE @namespace@.parked k SET is_retried = true
        WHERE k.stream = stream_row AND k.consumer = change_parked_1.consumer
            AND (change_parked_1.ids IS NULL OR k.stream_id = ANY (change_parked_1.ids));
        GET DIAGNOSTICS changed = ROW_COUNT;
    ELSIF change_parked_1.ids IS NULL THEN
        DELETE FROM @namespace@.parked k WHERE k.stream = stream_row AND k.consumer = change_parked_1.consumer;
        GET DIAGNOSTICS changed = ROW_COUNT;
    ELSE
        FOREACH one IN ARRAY change_parked_1.ids LOOP
            PERFORM @namespace@.remove_parked_1(stream_row, change_parked_1.consumer, one);
        END LOOP;
        changed := cardinality(change_parked_1.ids);
    END IF;
    RETURN ARRAY[changed];
END
$$;

-- Moves the partitions of a consumer that was moved by hand. The caller has the lock.
CREATE FUNCTION @namespace@.move_partitions_1(stream_row integer, consumer text) RETURNS void
LANGUAGE sql VOLATILE AS $$
    UPDATE @namespace@.partitions p SET
        claim = p.claim + @namespace@.random_step_1(), owner = NULL, oldest_id = NULL, oldest_since = NULL,
        position = c.position, snapshot = c.snapshot, updated_at = c.updated_at,
        delivered_count = 0, delivered_sum = 0, start_after = c.position, pruned_count = 0, pruned_sum = 0,
        passed_id = c.passed_id, passed_mark = c.passed_mark
    FROM @namespace@.consumers c
    WHERE c.stream = $1 AND c.name = $2 AND p.stream = c.stream AND p.consumer = c.name;
    DELETE FROM @namespace@.attempts a WHERE a.stream = $1 AND a.consumer = $2
$$;
