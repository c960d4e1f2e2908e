-- The index of keys, in streams that have one: the newest event of a key is looked at under a lock of that key, which whoever
-- commits an event of it holds from before its ID is allocated until it is committed. So the events of a key commit in the order
-- of their IDs.

-- Shared by whatever commits events in a stream with an index. Whoever makes the index complete excludes it, and so does a call
-- with more keys than one transaction locks one by one: locks are not without bound.
CREATE FUNCTION @namespace@.keys_lock_1(stream text) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT hashtextextended('@namespace_name@ keys ' || $1, 0)
$$;

CREATE FUNCTION @namespace@.key_lock_1(stream text, key text) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT hashtextextended('@namespace_name@ key ' || $1 || '#' || $2, 0)
$$;

-- The newest event that a key has or had; 0 where there was none. To be called in a statement after that of the lock.
CREATE FUNCTION @namespace@.newest_of_key_1(stream_row integer, key text) RETURNS bigint
LANGUAGE sql STABLE AS $$
    SELECT greatest(
        coalesce((
            SELECT k.stream_id FROM @namespace@.keys k WHERE k.stream = $1 AND k.key = $2
            ORDER BY k.stream_id DESC LIMIT 1), 0),
        coalesce((SELECT p.stream_id FROM @namespace@.pruned_keys p WHERE p.stream = $1 AND p.key = $2), 0))
$$;

-- The same of several keys, in their order, without a call for each; and whether any of the events is there already. `likely`
-- are what the newest are thought to be, 0 where nobody knows: of a key with many events, all of whose place in the index would be
-- read otherwise, those before it are not.
CREATE FUNCTION @namespace@.newest_of_keys_1(
    stream_row integer, keys text[], likely bigint[], event_ids text[], OUT newest bigint[], OUT some_are_there boolean
)
LANGUAGE plpgsql SET random_page_cost = 0 AS $$
#variable_conflict use_column
BEGIN
    SELECT
        ARRAY(
            -- What was pruned of a key is older than all that is left of it.
            SELECT coalesce(
                (SELECT k.stream_id FROM @namespace@.keys k
                    WHERE k.stream = newest_of_keys_1.stream_row AND k.key = u.key AND k.stream_id >= u.likely
                    ORDER BY k.stream_id DESC LIMIT 1),
                @namespace@.newest_of_key_1(newest_of_keys_1.stream_row, u.key))
            FROM unnest(newest_of_keys_1.keys, newest_of_keys_1.likely) WITH ORDINALITY u (key, likely, place)
            ORDER BY u.place),
        EXISTS (
            SELECT FROM unnest(newest_of_keys_1.event_ids) u (event_id)
            JOIN LATERAL (
                SELECT FROM @namespace@.events e
                WHERE e.stream = newest_of_keys_1.stream_row AND e.event_id = u.event_id LIMIT 1
            ) e ON true)
    INTO newest_of_keys_1.newest, newest_of_keys_1.some_are_there;
END
$$;

-- As `persist_1`, in a stream that has an index of keys or where calls have conditions. `all_keys` are the keys of the group, each
-- once, and `key_of` says which of them each event has, 0 for none; `call_of` of which call it is. Of each call there are
-- `expected`, the ID of the newest event that its key is to have, 0 for none, and -1 where it has no condition; and `left_out`,
-- which is 1 where it is left out from the start, because an earlier call has one of its events.
--
-- The first call waits for its keys, in the order of their locks; the others wait for none, and are left out where one is not
-- free. So whoever waits for a key has locked none but in that order, and nobody waits in a circle.
--
-- Of each call a verdict: 0, persisted; 1, left out; 2, a conflict with the ID in `details`, 0 for none; 3 and 4, the stream has
-- no index, or one that is being built; 5 and 6, the event at the place in `details` is there, and others of the call are not,
-- or it has another key. IDs are those of the events of calls that were persisted.
CREATE FUNCTION @namespace@.persist_keyed_1(
    stream text, instance text, epoch bigint, incarnation bigint, fence bigint, known bigint,
    event_ids text[], types text[], keys text[], payloads bytea[], metadata text[], all_keys text[], key_of bigint[],
    call_of bigint[], expected bigint[], left_out bigint[],
    OUT ids bigint[], OUT are_new bigint[], OUT tombstones bigint[], OUT verdicts bigint[], OUT details bigint[]
)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    most CONSTANT integer := 128;
    event_count CONSTANT integer := cardinality(persist_keyed_1.event_ids);
    call_count CONSTANT integer := cardinality(persist_keyed_1.expected);
    key_count CONSTANT integer := cardinality(persist_keyed_1.all_keys);
    has_conditions CONSTANT boolean := 0 <= ANY (persist_keyed_1.expected);
    first_keys bigint[] := '{}';
    are_free boolean[];
    tried integer := 0;
    number integer;
    key_number integer;
    stream_row integer;
    writer_row bigint;
    id_sequence regclass;
    keyed bigint;
    own_mark bigint := @namespace@.random_mark_1();
    some_are_there boolean := false;
    there bigint[] := array_fill(0::bigint, ARRAY[event_count]);
    have_key boolean[];
    newest bigint[];
    -- The ID in this group of the newest event of each key.
    newest_own bigint[];
    first_event integer;
    last_event integer := 0;
    there_count integer;
    wrong_place integer;
    -- Of each event the ID that it was given, null for one that is not to be persisted; and the one that it has in the end.
    given bigint[] := array_fill(NULL::bigint, ARRAY[event_count]);
    given_count integer := 0;
    has bigint[];
    inserted integer := 0;
BEGIN
    -- A call that would change nothing is not made.
    IF current_setting('transaction_isolation') <> 'read committed' OR current_setting('synchronous_commit') = 'off' THEN
        PERFORM @namespace@.begin_1();
    END IF;
    PERFORM pg_advisory_xact_lock_shared(@namespace@.writer_lock_1(persist_keyed_1.stream, persist_keyed_1.instance)),
        pg_advisory_xact_lock_shared(@namespace@.group_lock_1(persist_keyed_1.stream, persist_keyed_1.instance));
    persist_keyed_1.verdicts := persist_keyed_1.left_out;
    persist_keyed_1.details := array_fill(0::bigint, ARRAY[call_count]);
    -- Events are in the order of their calls.
    FOR place IN 1..event_count LOOP
        EXIT WHEN persist_keyed_1.call_of[place] > 1;
        IF persist_keyed_1.key_of[place] > 0 AND NOT persist_keyed_1.key_of[place] = ANY (first_keys) THEN
            first_keys := first_keys || persist_keyed_1.key_of[place];
        END IF;
    END LOOP;
    IF cardinality(first_keys) > most THEN
        -- Excludes everybody who has any key.
        PERFORM pg_advisory_xact_lock(@namespace@.keys_lock_1(persist_keyed_1.stream));
    ELSE
        PERFORM pg_advisory_xact_lock_shared(@namespace@.keys_lock_1(persist_keyed_1.stream));
        IF cardinality(first_keys) = 1 THEN
            PERFORM pg_advisory_xact_lock(
                @namespace@.key_lock_1(persist_keyed_1.stream, persist_keyed_1.all_keys[first_keys[1]]));
        ELSIF cardinality(first_keys) > 1 THEN
            PERFORM pg_advisory_xact_lock(l.lock)
            FROM (
                SELECT DISTINCT @namespace@.key_lock_1(persist_keyed_1.stream, persist_keyed_1.all_keys[u.key]) AS lock
                FROM unnest(first_keys) u (key) ORDER BY 1
            ) l;
        END IF;
        are_free := array_fill(NULL::boolean, ARRAY[greatest(key_count, 1)]);
        FOR place IN 1..event_count LOOP
            number := persist_keyed_1.call_of[place];
            key_number := persist_keyed_1.key_of[place];
            CONTINUE WHEN key_number = 0 OR persist_keyed_1.verdicts[number] <> 0;
            IF are_free[key_number] IS NULL THEN
                tried := tried + 1;
                are_free[key_number] := tried <= most AND pg_try_advisory_xact_lock(
                    @namespace@.key_lock_1(persist_keyed_1.stream, persist_keyed_1.all_keys[key_number]));
            END IF;
            IF NOT are_free[key_number] THEN persist_keyed_1.verdicts[number] := 1; END IF;
        END LOOP;
    END IF;

    -- In a statement after the locks: how far the index is, too.
    SELECT s.stream, s.sequence, i.writer, s.keyed_from INTO stream_row, id_sequence, writer_row, keyed
    FROM @namespace@.streams s
    JOIN @namespace@.instances i ON i.stream = s.stream AND i.instance = persist_keyed_1.instance
    JOIN @namespace@.token t ON t.incarnation = i.incarnation AND t.xmin = t.made_by::xid
        AND t.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())
    WHERE s.name = persist_keyed_1.stream AND i.epoch = persist_keyed_1.epoch AND i.is_member
        AND i.fence = persist_keyed_1.fence AND i.incarnation = coalesce(persist_keyed_1.incarnation, i.incarnation)
        AND coalesce(pg_sequence_last_value(s.sequence), 0) >= greatest(i.position, persist_keyed_1.known);
    IF NOT FOUND THEN
        PERFORM @namespace@.refuse_1(
            persist_keyed_1.stream, persist_keyed_1.instance, persist_keyed_1.epoch, persist_keyed_1.incarnation,
            persist_keyed_1.known, persist_keyed_1.fence);
    END IF;

    IF has_conditions THEN
        newest := array_fill(0::bigint, ARRAY[key_count]);
        FOR place IN 1..event_count LOOP
            number := persist_keyed_1.call_of[place];
            IF persist_keyed_1.expected[number] > 0 THEN
                newest[persist_keyed_1.key_of[place]] := persist_keyed_1.expected[number];
            END IF;
        END LOOP;
        SELECT n.newest, n.some_are_there INTO newest, some_are_there
        FROM @namespace@.newest_of_keys_1(stream_row, persist_keyed_1.all_keys, newest, persist_keyed_1.event_ids) n;
        newest_own := array_fill(0::bigint, ARRAY[greatest(key_count, 1)]);
        IF some_are_there THEN
            SELECT array_agg(coalesce(u.id, 0) ORDER BY u.place),
                array_agg(u.found_key IS NOT DISTINCT FROM u.key ORDER BY u.place)
            INTO there, have_key
            FROM @namespace@.find_events_1(stream_row, persist_keyed_1.event_ids) f,
                unnest(f.ids, f.keys, persist_keyed_1.keys) WITH ORDINALITY u (id, found_key, key, place);
        END IF;
    END IF;
    FOR asked IN 1..call_count LOOP
        first_event := last_event + 1;
        WHILE last_event < event_count AND persist_keyed_1.call_of[last_event + 1] = asked LOOP
            last_event := last_event + 1;
        END LOOP;
        CONTINUE WHEN persist_keyed_1.verdicts[asked] <> 0 OR last_event < first_event;
        IF persist_keyed_1.expected[asked] >= 0 THEN
            there_count := 0;
            wrong_place := 0;
            IF some_are_there THEN
                FOR place IN first_event..last_event LOOP
                    CONTINUE WHEN there[place] = 0;
                    there_count := there_count + 1;
                    persist_keyed_1.details[asked] := place;
                    IF NOT have_key[place] THEN wrong_place := place; END IF;
                END LOOP;
            END IF;
            key_number := persist_keyed_1.key_of[first_event];
            IF keyed IS DISTINCT FROM 0 THEN
                persist_keyed_1.verdicts[asked] := CASE WHEN keyed IS NULL THEN 3 ELSE 4 END;
            ELSIF wrong_place > 0 THEN
                persist_keyed_1.verdicts[asked] := 6;
                persist_keyed_1.details[asked] := wrong_place;
            ELSIF there_count > 0 THEN
                -- All of them are there: it is the same call again.
                IF there_count < last_event - first_event + 1 THEN persist_keyed_1.verdicts[asked] := 5; END IF;
            ELSIF greatest(newest[key_number], newest_own[key_number]) <> persist_keyed_1.expected[asked] THEN
                persist_keyed_1.verdicts[asked] := 2;
                persist_keyed_1.details[asked] := greatest(newest[key_number], newest_own[key_number]);
            END IF;
            CONTINUE WHEN persist_keyed_1.verdicts[asked] <> 0;
        END IF;
        FOR place IN first_event..last_event LOOP
            CONTINUE WHEN there[place] > 0;
            given[place] := nextval(id_sequence);
            given_count := given_count + 1;
            IF has_conditions AND persist_keyed_1.key_of[place] > 0 THEN
                newest_own[persist_keyed_1.key_of[place]] := given[place];
            END IF;
        END LOOP;
    END LOOP;

    has := given;
    -- One statement has one thing to do, as in `persist_1`; one row is not made to be a table first.
    IF event_count = 1 AND given_count = 1 THEN
        INSERT INTO @namespace@.events (stream, kind, stream_id, writer, mark, event_id, type, key, payload, metadata)
        VALUES (stream_row, 0, given[1], writer_row, own_mark, persist_keyed_1.event_ids[1], persist_keyed_1.types[1],
            persist_keyed_1.keys[1], persist_keyed_1.payloads[1], persist_keyed_1.metadata[1])
        ON CONFLICT (stream, event_id) WHERE event_id IS NOT NULL DO NOTHING;
        GET DIAGNOSTICS inserted = ROW_COUNT;
    ELSIF given_count > 0 THEN
        -- In the order of event ids, and twice where some are there, as in `persist_1`.
        BEGIN
            INSERT INTO @namespace@.events (stream, kind, stream_id, writer, mark, event_id, type, key, payload, metadata)
            SELECT stream_row, 0, u.stream_id, writer_row, own_mark, u.event_id, u.type, u.key, u.payload, u.metadata
            FROM unnest(
                given, persist_keyed_1.event_ids, persist_keyed_1.types, persist_keyed_1.keys, persist_keyed_1.payloads,
                persist_keyed_1.metadata)
                AS u (stream_id, event_id, type, key, payload, metadata)
            WHERE u.stream_id IS NOT NULL
            ORDER BY u.event_id;
            inserted := given_count;
        EXCEPTION WHEN unique_violation THEN
            INSERT INTO @namespace@.events (stream, kind, stream_id, writer, mark, event_id, type, key, payload, metadata)
            SELECT stream_row, 0, u.stream_id, writer_row, own_mark, u.event_id, u.type, u.key, u.payload, u.metadata
            FROM unnest(
                given, persist_keyed_1.event_ids, persist_keyed_1.types, persist_keyed_1.keys, persist_keyed_1.payloads,
                persist_keyed_1.metadata)
                AS u (stream_id, event_id, type, key, payload, metadata)
            WHERE u.stream_id IS NOT NULL
            ORDER BY u.event_id
            ON CONFLICT (stream, event_id) WHERE event_id IS NOT NULL DO NOTHING;
            GET DIAGNOSTICS inserted = ROW_COUNT;
        END;
    END IF;
    persist_keyed_1.tombstones := '{}';
    IF inserted < given_count THEN
        -- In new statements: whoever was first with an event committed while this waited for it.
        SELECT f.ids INTO has FROM @namespace@.find_events_1(stream_row, persist_keyed_1.event_ids) f;
        FOR place IN 1..event_count LOOP
            CONTINUE WHEN given[place] IS NULL OR has[place] = given[place];
            IF has[place] IS NULL THEN
                RAISE EXCEPTION 'an event that was there is gone' USING ERRCODE = '40001';
            ELSIF has_conditions AND array_position(given, has[place]) IS NULL THEN
                -- It was not there when the calls were judged: all of it again.
                RAISE EXCEPTION 'an event came while its call was judged' USING ERRCODE = '40001';
            END IF;
            persist_keyed_1.tombstones := persist_keyed_1.tombstones || given[place];
            persist_keyed_1.details := array_replace(persist_keyed_1.details, given[place], has[place]);
        END LOOP;
        INSERT INTO @namespace@.events (stream, kind, stream_id, writer, mark)
        SELECT stream_row, 1, u.id, writer_row, own_mark FROM unnest(persist_keyed_1.tombstones) u (id);
    END IF;
    IF keyed IS NOT NULL AND event_count = 1 THEN
        IF persist_keyed_1.keys[1] IS NOT NULL AND has[1] = given[1] THEN
            INSERT INTO @namespace@.keys (stream, key, stream_id) VALUES (stream_row, persist_keyed_1.keys[1], given[1]);
        END IF;
    ELSIF keyed IS NOT NULL AND given_count > 0 THEN
        INSERT INTO @namespace@.keys (stream, key, stream_id)
        SELECT stream_row, u.key, u.id FROM unnest(persist_keyed_1.keys, given, has) u (key, id, has)
        WHERE u.key IS NOT NULL AND u.id = u.has;
    END IF;

    IF inserted = event_count THEN
        persist_keyed_1.ids := given;
        persist_keyed_1.are_new := array_fill(1::bigint, ARRAY[event_count]);
        RETURN;
    END IF;
    persist_keyed_1.ids := '{}';
    persist_keyed_1.are_new := '{}';
    FOR place IN 1..event_count LOOP
        CONTINUE WHEN persist_keyed_1.verdicts[persist_keyed_1.call_of[place]] <> 0;
        persist_keyed_1.ids := persist_keyed_1.ids || coalesce(nullif(there[place], 0), has[place]);
        persist_keyed_1.are_new := persist_keyed_1.are_new
            || coalesce(has[place] = given[place], false)::integer::bigint;
    END LOOP;
END
$$;

-- For an event under an ID that was allocated before: takes the locks of its key where the stream has an index, and says whether
-- it has, and which event an ID has to be above: 0 for none.
CREATE FUNCTION @namespace@.lock_key_1(stream text, key text, OUT is_keyed boolean, OUT newest bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    lock_key_1.newest := 0;
    SELECT s.keyed_from IS NOT NULL INTO lock_key_1.is_keyed FROM @namespace@.streams s WHERE s.name = lock_key_1.stream;
    IF lock_key_1.is_keyed THEN
        PERFORM pg_advisory_xact_lock_shared(@namespace@.keys_lock_1(lock_key_1.stream));
        PERFORM pg_advisory_xact_lock(@namespace@.key_lock_1(lock_key_1.stream, lock_key_1.key));
        SELECT CASE WHEN s.keyed_from = 0 THEN @namespace@.newest_of_key_1(s.stream, lock_key_1.key) ELSE 0 END
        INTO lock_key_1.newest FROM @namespace@.streams s WHERE s.name = lock_key_1.stream;
    END IF;
END
$$;

-- Building. A stream's `keyed_from` is null where it has no index, 0 where that is complete, and otherwise from where on all
-- events are in it: the highest number there is while groups may be under way that have seen none.

-- Makes the stream where it is missing; where it is empty and nobody has ever joined, its index is complete. Returns
-- `keyed_from`, and whether it has rows.
CREATE FUNCTION @namespace@.make_keys_1(stream text, OUT keyed_from bigint, OUT has_rows boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    stream_row integer;
BEGIN
    PERFORM @namespace@.begin_1();
    PERFORM @namespace@.begin_incarnation_1();
    stream_row := @namespace@.make_stream_1(make_keys_1.stream);
    PERFORM @namespace@.require_here_1(make_keys_1.stream);
    SELECT s.keyed_from INTO make_keys_1.keyed_from FROM @namespace@.streams s WHERE s.stream = stream_row FOR UPDATE;
    make_keys_1.has_rows := EXISTS (SELECT FROM @namespace@.events e WHERE e.stream = stream_row);
    IF make_keys_1.keyed_from IS NULL AND NOT make_keys_1.has_rows
        AND NOT EXISTS (SELECT FROM @namespace@.instances i WHERE i.stream = stream_row)
    THEN
        UPDATE @namespace@.streams SET keyed_from = 0 WHERE stream = stream_row;
        make_keys_1.keyed_from := 0;
    END IF;
END
$$;

-- Begins an index where there is none: from the end of this transaction on, whoever persists puts keys into it.
CREATE FUNCTION @namespace@.begin_keys_1(stream text) RETURNS bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    s @namespace@.streams%ROWTYPE;
BEGIN
    PERFORM @namespace@.begin_1();
    SELECT * INTO s FROM @namespace@.streams st WHERE st.name = begin_keys_1.stream FOR UPDATE;
    IF NOT FOUND THEN RAISE EXCEPTION 'there is no stream %', begin_keys_1.stream USING ERRCODE = 'TM002'; END IF;
    -- A stream that arrives is made with the index that it had.
    IF s.moved_to IS NOT NULL THEN PERFORM @namespace@.require_here_1(begin_keys_1.stream); END IF;
    IF s.keyed_from IS NULL THEN
        UPDATE @namespace@.streams SET keyed_from = 9223372036854775807 WHERE stream = s.stream;
        RETURN 9223372036854775807;
    END IF;
    RETURN s.keyed_from;
END
$$;

-- Waits until nothing of the writer is under way any more that has begun before, and may not have seen the index. A
-- transaction of the user's own, whose events have no key, is not waited for.
CREATE FUNCTION @namespace@.await_groups_1(stream text, instance text, limit_ms integer) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM @namespace@.begin_1();
    PERFORM set_config('lock_timeout', await_groups_1.limit_ms::text, true);
    PERFORM pg_advisory_xact_lock(@namespace@.group_lock_1(await_groups_1.stream, await_groups_1.instance));
END
$$;

-- Takes rows into the index, the newest first; each writer was waited for since it was begun.
CREATE FUNCTION @namespace@.extend_keys_1(stream text, most bigint, limit_ms integer) RETURNS bigint
LANGUAGE plpgsql SET random_page_cost = 0 AS $$
#variable_conflict use_column
DECLARE
    s @namespace@.streams%ROWTYPE;
    above bigint;
    lowest bigint;
BEGIN
    PERFORM @namespace@.begin_1();
    PERFORM set_config('lock_timeout', extend_keys_1.limit_ms::text, true);
    SELECT * INTO s FROM @namespace@.streams st WHERE st.name = extend_keys_1.stream FOR UPDATE;
    IF NOT FOUND THEN RAISE EXCEPTION 'there is no stream %', extend_keys_1.stream USING ERRCODE = 'TM002'; END IF;
    IF s.moved_to IS NOT NULL THEN PERFORM @namespace@.require_here_1(extend_keys_1.stream); END IF;
    IF s.keyed_from IS NULL OR s.keyed_from = 0 THEN RETURN s.keyed_from; END IF;
    above := CASE WHEN s.keyed_from = 9223372036854775807 THEN @namespace@.least_sequence_1(s.stream) + 1
        ELSE s.keyed_from END;
    SELECT CASE WHEN count(*) < extend_keys_1.most THEN 0 ELSE min(r.stream_id) END INTO lowest
    FROM (
        -- Of what was pruned there are only ids.
        SELECT e.stream_id FROM @namespace@.events e
        WHERE e.stream = s.stream AND e.stream_id < above AND e.stream_id > s.pruned_through
        ORDER BY e.stream_id DESC LIMIT extend_keys_1.most
    ) r;
    INSERT INTO @namespace@.keys (stream, key, stream_id)
    SELECT e.stream, e.key, e.stream_id FROM @namespace@.events e
    WHERE e.stream = s.stream AND e.stream_id >= greatest(lowest, s.pruned_through + 1) AND e.stream_id < above
        AND e.kind = 0 AND e.key IS NOT NULL
    ON CONFLICT DO NOTHING;
    IF lowest = 0 THEN
        -- Whoever has seen it incomplete, and did not look at the newest of a key, has ended then.
        PERFORM pg_advisory_xact_lock(@namespace@.keys_lock_1(extend_keys_1.stream));
    END IF;
    UPDATE @namespace@.streams SET keyed_from = lowest WHERE stream = s.stream;
    RETURN lowest;
END
$$;
