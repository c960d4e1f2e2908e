-- The functions by which a stream is moved to another store, and from one. They are the owner's: writers have no right to
-- them.

-- Whoever changes rows or checkpoints without a lock of a writer's shares this one; moving away excludes it.
CREATE FUNCTION @namespace@.move_lock_1(stream text) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT hashtextextended('@namespace_name@ move ' || $1, 0)
$$;

-- Raises where the stream is not here, or not whole. Under `move_lock_1`, or a lock of the stream's row, in a statement after
-- the one that took it.
CREATE FUNCTION @namespace@.require_here_1(stream text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    s @namespace@.streams%ROWTYPE;
BEGIN
    SELECT * INTO s FROM @namespace@.streams st WHERE st.name = require_here_1.stream;
    IF s.moved_to IS NOT NULL THEN
        RAISE EXCEPTION 'the stream has moved to %', s.moved_to
        USING ERRCODE = 'TM014', DETAIL = json_build_object('place', s.moved_to)::text;
    ELSIF s.arriving_from IS NOT NULL THEN
        RAISE EXCEPTION 'the stream is being moved here from %', s.arriving_from
        USING ERRCODE = 'TM015', DETAIL = json_build_object('place', s.arriving_from)::text;
    END IF;
END
$$;

-- Ends all epochs and claims, and refuses everybody from now on.
CREATE FUNCTION @namespace@.move_away_1(stream text, destination text, limit_ms integer) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    s @namespace@.streams%ROWTYPE;
BEGIN
    PERFORM @namespace@.begin_1();
    PERFORM set_config('lock_timeout', move_away_1.limit_ms::text, true);
    PERFORM pg_advisory_xact_lock(@namespace@.move_lock_1(move_away_1.stream));
    SELECT * INTO s FROM @namespace@.streams st WHERE st.name = move_away_1.stream FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no stream %', move_away_1.stream USING ERRCODE = 'TM002';
    END IF;
    IF s.moved_to = move_away_1.destination THEN RETURN; END IF;
    PERFORM @namespace@.require_here_1(move_away_1.stream);
    -- Whoever joins waits for the stream's row, so that these are all there are.
    PERFORM pg_advisory_xact_lock(l.key)
    FROM (
        SELECT @namespace@.writer_lock_1(move_away_1.stream, i.instance) AS key
        FROM @namespace@.instances i WHERE i.stream = s.stream AND i.is_member ORDER BY key
    ) l;
    UPDATE @namespace@.instances SET
        epoch = epoch + 1, is_member = false, left_at = clock_timestamp(), in_flight = 0, lowest_in_flight = NULL,
        in_flight_since = NULL
    WHERE stream = s.stream AND is_member;
    UPDATE @namespace@.consumers SET
        generation = generation + @namespace@.random_step_1(), claim_key = NULL, holder_process_id = NULL,
        holder_key = NULL
    WHERE stream = s.stream;
    -- Of what they own it stays known that it was not given back.
    UPDATE @namespace@.partitions SET claim = claim + @namespace@.random_step_1() WHERE stream = s.stream;
    UPDATE @namespace@.streams SET
        moved_to = move_away_1.destination, membership_version = membership_version + @namespace@.random_step_1()
    WHERE stream = s.stream;
END
$$;

CREATE FUNCTION @namespace@.move_back_1(stream text) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM @namespace@.begin_1();
    UPDATE @namespace@.streams SET
        moved_to = NULL, membership_version = membership_version + @namespace@.random_step_1()
    WHERE name = move_back_1.stream AND moved_to IS NOT NULL;
END
$$;

-- The row of a stream that arrives, from anywhere where no source is named.
CREATE FUNCTION @namespace@.require_arriving_1(stream text, source text) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    s @namespace@.streams%ROWTYPE;
BEGIN
    SELECT * INTO s FROM @namespace@.streams st WHERE st.name = require_arriving_1.stream FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no stream %', require_arriving_1.stream USING ERRCODE = 'TM002';
    ELSIF s.arriving_from IS NULL THEN
        RAISE EXCEPTION 'there is a stream % already', require_arriving_1.stream USING ERRCODE = 'TM016';
    ELSIF s.arriving_from <> require_arriving_1.source THEN
        PERFORM @namespace@.require_here_1(require_arriving_1.stream);
    END IF;
    RETURN s.stream;
END
$$;

CREATE FUNCTION @namespace@.remove_contents_1(stream_row integer) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    DELETE FROM @namespace@.events WHERE stream = remove_contents_1.stream_row;
    DELETE FROM @namespace@.keys WHERE stream = remove_contents_1.stream_row;
    DELETE FROM @namespace@.pruned_keys WHERE stream = remove_contents_1.stream_row;
    DELETE FROM @namespace@.partitions WHERE stream = remove_contents_1.stream_row;
    DELETE FROM @namespace@.processes WHERE stream = remove_contents_1.stream_row;
    DELETE FROM @namespace@.attempts WHERE stream = remove_contents_1.stream_row;
    DELETE FROM @namespace@.parked WHERE stream = remove_contents_1.stream_row;
    DELETE FROM @namespace@.consumers WHERE stream = remove_contents_1.stream_row;
    DELETE FROM @namespace@.instances WHERE stream = remove_contents_1.stream_row;
END
$$;

CREATE FUNCTION @namespace@.begin_arrival_1(stream text, source text) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    stream_row integer;
BEGIN
    PERFORM @namespace@.begin_1();
    PERFORM @namespace@.begin_incarnation_1();
    SELECT s.stream INTO stream_row FROM @namespace@.streams s
    WHERE s.name = begin_arrival_1.stream AND s.moved_to = begin_arrival_1.source FOR UPDATE;
    IF FOUND THEN
        -- It went there, and comes back with all that it had here.
        PERFORM @namespace@.remove_contents_1(stream_row);
        UPDATE @namespace@.streams SET
            moved_to = NULL, arriving_from = begin_arrival_1.source, keyed_from = NULL, pruned_through = 0,
            pruned_id = NULL, pruned_mark = NULL, pruned_count = 0, pruned_sum = 0, pruned_at = NULL,
            forgotten_through = 0
        WHERE stream = stream_row;
    END IF;
    IF NOT EXISTS (SELECT FROM @namespace@.streams s WHERE s.name = begin_arrival_1.stream) THEN
        PERFORM @namespace@.make_stream_1(begin_arrival_1.stream);
        -- Nobody can have seen it yet, unless somebody made it at this very moment: then there is one already.
        UPDATE @namespace@.streams s SET arriving_from = begin_arrival_1.source
        WHERE s.name = begin_arrival_1.stream AND s.xmin = pg_current_xact_id()::xid;
    END IF;
    PERFORM @namespace@.require_arriving_1(begin_arrival_1.stream, begin_arrival_1.source);
END
$$;

-- The names of writers, for rows that name them.
CREATE FUNCTION @namespace@.make_writers_1(stream_row integer, names text[]) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO @namespace@.instances
        (stream, instance, epoch, nonce, incarnation, is_member, left_at, position, heartbeat_at)
    SELECT make_writers_1.stream_row, u.instance, 0, @namespace@.random_mark_1(), 0, false, clock_timestamp(), 0,
        clock_timestamp()
    FROM (SELECT DISTINCT n.instance FROM unnest(make_writers_1.names) n (instance)) u
    ON CONFLICT (stream, instance) DO NOTHING;
END
$$;

-- Puts rows into a stream that arrives; all of them have one mark. What pruning has left of an event is in no index of keys.
CREATE FUNCTION @namespace@.receive_1(
    stream text, ids bigint[], kinds bigint[], instances text[], persisted_ms bigint[], event_ids text[], types text[],
    keys text[], payloads bytea[], metadata text[], are_pruned boolean[]
) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    stream_row integer;
BEGIN
    PERFORM @namespace@.begin_1();
    stream_row := @namespace@.require_arriving_1(receive_1.stream, NULL);
    PERFORM @namespace@.make_writers_1(stream_row, receive_1.instances);
    INSERT INTO @namespace@.events
        (stream, kind, stream_id, writer, mark, persisted_at, event_id, type, key, payload, metadata)
    SELECT stream_row, u.kind, u.id, i.writer, m.mark, to_timestamp(0) + u.ms * interval '1 millisecond', u.event_id,
        u.type, u.key, u.payload, u.metadata
    FROM unnest(receive_1.ids, receive_1.kinds, receive_1.instances, receive_1.persisted_ms, receive_1.event_ids,
        receive_1.types, receive_1.keys, receive_1.payloads, receive_1.metadata)
        AS u (id, kind, instance, ms, event_id, type, key, payload, metadata)
    JOIN @namespace@.instances i ON i.stream = stream_row AND i.instance = u.instance,
        (SELECT @namespace@.random_mark_1() AS mark) m
    ORDER BY u.id;
    INSERT INTO @namespace@.keys (stream, key, stream_id)
    SELECT s.stream, u.key, u.id
    FROM @namespace@.streams s, unnest(receive_1.ids, receive_1.keys, receive_1.are_pruned) u (id, key, is_pruned)
    WHERE s.stream = stream_row AND s.keyed_from IS NOT NULL AND u.key IS NOT NULL AND NOT u.is_pruned;
END
$$;

-- Makes rows what pruning has left of them where they come from, as many as the limit says from the first above an ID on; after
-- which it is to be called again. Null where all is done: then what the prefix says is kept. The newest event that was pruned has
-- a mark of this database where its id is left, and otherwise keeps the one that it had.
CREATE FUNCTION @namespace@.receive_pruned_1(
    stream text, after_id bigint, most bigint, through bigint, pruned_id bigint, pruned_mark bigint, pruned_count bigint,
    pruned_sum bigint, pruned_at bigint, forgotten_through bigint
) RETURNS bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    stream_row integer;
    found_count bigint;
    last bigint;
BEGIN
    PERFORM @namespace@.begin_1();
    stream_row := @namespace@.require_arriving_1(receive_pruned_1.stream, NULL);
    SELECT count(*), max(w.stream_id) INTO found_count, last FROM (
        SELECT e.stream_id FROM @namespace@.events e
        WHERE e.stream = stream_row AND e.stream_id > receive_pruned_1.after_id AND e.stream_id <= receive_pruned_1.through
            AND (e.kind <> 0 OR e.stream_id <= receive_pruned_1.forgotten_through OR e.type <> '' OR e.payload <> ''
                OR e.metadata IS NOT NULL)
        ORDER BY e.stream_id LIMIT receive_pruned_1.most
    ) w;
    DELETE FROM @namespace@.events e
    WHERE e.stream = stream_row AND e.stream_id > receive_pruned_1.after_id AND e.stream_id <= last
        AND (e.kind <> 0 OR e.stream_id <= receive_pruned_1.forgotten_through);
    UPDATE @namespace@.events e SET type = '', payload = '', metadata = NULL
    WHERE e.stream = stream_row AND e.stream_id > receive_pruned_1.after_id AND e.stream_id <= last
        AND (e.type <> '' OR e.payload <> '' OR e.metadata IS NOT NULL);
    IF found_count = receive_pruned_1.most THEN RETURN last; END IF;
    UPDATE @namespace@.streams s SET
        pruned_through = receive_pruned_1.through, pruned_id = receive_pruned_1.pruned_id,
        pruned_mark = coalesce((
            SELECT e.mark FROM @namespace@.events e
            WHERE e.stream = stream_row AND e.stream_id = receive_pruned_1.pruned_id), receive_pruned_1.pruned_mark),
        pruned_count = receive_pruned_1.pruned_count, pruned_sum = receive_pruned_1.pruned_sum,
        pruned_at = receive_pruned_1.pruned_at, forgotten_through = receive_pruned_1.forgotten_through
    WHERE s.stream = stream_row;
    RETURN NULL;
END
$$;

-- Keys that lost events to pruning. They may come again.
CREATE FUNCTION @namespace@.receive_pruned_keys_1(stream text, keys text[], newest bigint[]) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    stream_row integer;
BEGIN
    PERFORM @namespace@.begin_1();
    stream_row := @namespace@.require_arriving_1(receive_pruned_keys_1.stream, NULL);
    DELETE FROM @namespace@.keys k USING unnest(receive_pruned_keys_1.keys, receive_pruned_keys_1.newest) u (key, id)
    WHERE k.stream = stream_row AND k.key = u.key AND k.stream_id <= u.id;
    INSERT INTO @namespace@.pruned_keys AS k (stream, key, stream_id)
    SELECT stream_row, u.key, u.id FROM unnest(receive_pruned_keys_1.keys, receive_pruned_keys_1.newest) u (key, id)
    ON CONFLICT (stream, key) DO UPDATE SET stream_id = excluded.stream_id;
END
$$;

-- What a consumer has parked. It may come again.
CREATE FUNCTION @namespace@.receive_parked_1(
    stream text, consumer text, ids bigint[], numbers bigint[], kinds bigint[], instances text[], marks bigint[],
    persisted_ms bigint[], event_ids text[], types text[], keys text[], payloads bytea[], metadata text[],
    reasons bigint[], attempts bigint[], problems text[], parked_ms bigint[], are_retried boolean[]
) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    stream_row integer;
BEGIN
    PERFORM @namespace@.begin_1();
    stream_row := @namespace@.require_arriving_1(receive_parked_1.stream, NULL);
    PERFORM @namespace@.make_writers_1(stream_row, receive_parked_1.instances);
    INSERT INTO @namespace@.parked
        (stream, consumer, stream_id, partition, kind, writer, mark, persisted_at, event_id, type, key, payload, metadata,
        reason, attempts, problem, parked_at, is_retried)
    SELECT stream_row, receive_parked_1.consumer, u.id, u.number, u.kind, i.writer, coalesce(e.mark, u.mark),
        to_timestamp(0) + u.ms * interval '1 millisecond', u.event_id, u.type, u.key, u.payload, u.metadata, u.reason,
        u.attempts, u.problem, to_timestamp(0) + u.parked_ms * interval '1 millisecond', u.is_retried
    FROM unnest(receive_parked_1.ids, receive_parked_1.numbers, receive_parked_1.kinds, receive_parked_1.instances,
        receive_parked_1.marks, receive_parked_1.persisted_ms, receive_parked_1.event_ids, receive_parked_1.types,
        receive_parked_1.keys, receive_parked_1.payloads, receive_parked_1.metadata, receive_parked_1.reasons,
        receive_parked_1.attempts, receive_parked_1.problems, receive_parked_1.parked_ms, receive_parked_1.are_retried)
        AS u (id, number, kind, instance, mark, ms, event_id, type, key, payload, metadata, reason, attempts, problem,
            parked_ms, is_retried)
    JOIN @namespace@.instances i ON i.stream = stream_row AND i.instance = u.instance
    LEFT JOIN @namespace@.events e ON e.stream = stream_row AND e.stream_id = u.id
    ON CONFLICT (stream, consumer, stream_id) DO NOTHING;
END
$$;

-- The partitions of all processors, and how often their events were started. They may come again.
CREATE FUNCTION @namespace@.receive_partitions_1(
    stream text, consumers text[], numbers bigint[], hashes text[], claims bigint[], positions bigint[], counts bigint[],
    sums bigint[], passed_ids bigint[], passed_marks bigint[], starts bigint[], pruned_counts bigint[],
    pruned_sums bigint[], of_consumers text[], of_numbers bigint[], ids bigint[], attempts bigint[]
) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    stream_row integer;
BEGIN
    PERFORM @namespace@.begin_1();
    stream_row := @namespace@.require_arriving_1(receive_partitions_1.stream, NULL);
    DELETE FROM @namespace@.partitions p WHERE p.stream = stream_row;
    DELETE FROM @namespace@.attempts a WHERE a.stream = stream_row;
    INSERT INTO @namespace@.partitions
        (stream, consumer, partition, hash, claim, position, delivered_count, delivered_sum, passed_id, passed_mark,
        updated_at, start_after, pruned_count, pruned_sum)
    SELECT stream_row, u.consumer, u.number, u.hash, u.claim + @namespace@.random_step_1(), u.place, u.count, u.sum,
        u.id, u.mark, clock_timestamp(), u.start, u.pruned_count, u.pruned_sum
    FROM unnest(receive_partitions_1.consumers, receive_partitions_1.numbers, receive_partitions_1.hashes,
        receive_partitions_1.claims, receive_partitions_1.positions, receive_partitions_1.counts,
        receive_partitions_1.sums, receive_partitions_1.passed_ids, receive_partitions_1.passed_marks,
        receive_partitions_1.starts, receive_partitions_1.pruned_counts, receive_partitions_1.pruned_sums)
        AS u (consumer, number, hash, claim, place, count, sum, id, mark, start, pruned_count, pruned_sum);
    INSERT INTO @namespace@.attempts (stream, consumer, partition, stream_id, attempts)
    SELECT stream_row, u.consumer, u.number, u.id, u.attempts
    FROM unnest(receive_partitions_1.of_consumers, receive_partitions_1.of_numbers, receive_partitions_1.ids,
        receive_partitions_1.attempts) AS u (consumer, number, id, attempts);
END
$$;

-- Puts the rest of it there, takes the sequence above all that was ever visible, and lets everybody in.
CREATE FUNCTION @namespace@.end_arrival_1(
    stream text, sequence bigint, version bigint, forgotten_epoch bigint, instances text[], epochs bigint[],
    consumers text[], generations bigint[], positions bigint[], counts bigint[], sums bigint[], passed_ids bigint[],
    passed_marks bigint[], starts bigint[], filters text[], pruned_counts bigint[], pruned_sums bigint[]
) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    stream_row integer;
    highest bigint;
BEGIN
    PERFORM @namespace@.begin_1();
    stream_row := @namespace@.require_arriving_1(end_arrival_1.stream, NULL);
    INSERT INTO @namespace@.instances AS i
        (stream, instance, epoch, nonce, incarnation, is_member, left_at, position, heartbeat_at)
    SELECT stream_row, u.instance, u.epoch, @namespace@.random_mark_1(), 0, false, clock_timestamp(), 0,
        clock_timestamp()
    FROM unnest(end_arrival_1.instances, end_arrival_1.epochs) u (instance, epoch)
    ON CONFLICT (stream, instance) DO UPDATE SET epoch = greatest(i.epoch, excluded.epoch);
    -- Names that were forgotten there have events here: whoever takes one begins above all of them.
    UPDATE @namespace@.instances SET epoch = end_arrival_1.forgotten_epoch WHERE stream = stream_row AND epoch = 0;
    INSERT INTO @namespace@.consumers
        (stream, name, generation, position, delivered_count, delivered_sum, passed_id, passed_mark, updated_at,
        start_after, filter, pruned_count, pruned_sum)
    SELECT stream_row, u.name, u.generation + @namespace@.random_step_1(), u.place, u.count, u.sum, u.id, u.mark,
        clock_timestamp(), u.start, u.filter, u.pruned_count, u.pruned_sum
    FROM unnest(end_arrival_1.consumers, end_arrival_1.generations, end_arrival_1.positions, end_arrival_1.counts,
        end_arrival_1.sums, end_arrival_1.passed_ids, end_arrival_1.passed_marks, end_arrival_1.starts,
        end_arrival_1.filters, end_arrival_1.pruned_counts, end_arrival_1.pruned_sums)
        AS u (name, generation, place, count, sum, id, mark, start, filter, pruned_count, pruned_sum);
    highest := greatest(
        end_arrival_1.sequence, @namespace@.least_sequence_1(stream_row),
        (SELECT max(u.place) FROM unnest(end_arrival_1.positions) u (place)));
    -- Nobody takes a number of it meanwhile. One that came back may be there already.
    IF highest > (SELECT coalesce(pg_sequence_last_value(s.sequence), 0) FROM @namespace@.streams s
        WHERE s.stream = stream_row)
    THEN
        PERFORM setval(s.sequence, highest) FROM @namespace@.streams s WHERE s.stream = stream_row;
    END IF;
    UPDATE @namespace@.streams SET
        membership_version = greatest(membership_version, end_arrival_1.version) + @namespace@.random_step_1(),
        forgotten_epoch = greatest(forgotten_epoch, end_arrival_1.forgotten_epoch), arriving_from = NULL
    WHERE stream = stream_row;
END
$$;

CREATE FUNCTION @namespace@.cancel_arrival_1(stream text) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    stream_row integer;
    ids regclass;
BEGIN
    PERFORM @namespace@.begin_1();
    SELECT s.sequence INTO ids FROM @namespace@.streams s WHERE s.name = cancel_arrival_1.stream;
    IF NOT FOUND THEN RETURN; END IF;
    stream_row := @namespace@.require_arriving_1(cancel_arrival_1.stream, NULL);
    PERFORM @namespace@.remove_contents_1(stream_row);
    DELETE FROM @namespace@.eras WHERE stream = stream_row;
    DELETE FROM @namespace@.streams WHERE stream = stream_row;
    EXECUTE format('DROP SEQUENCE %s', ids);
END
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA @namespace@ FROM PUBLIC;
