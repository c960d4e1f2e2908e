-- The functions that writers call all the time. A function carries a version in its name: programs of two versions run
-- beside each other while a migration rolls.
--
-- What all of them rest on: in a VOLATILE function under READ COMMITTED each statement has a snapshot of its own. So
-- whatever is looked at in a statement after the one that took the lock is as new as the lock.

-- The two advisory locks of a writer. Every transaction that commits IDs of the writer shares the first; joining, leaving,
-- closing and retiring exclude it. Groups share the second too, and settling excludes only that: a transaction of the
-- user's own, which may stay open for long, does not hold a settle up.
CREATE FUNCTION @namespace@.writer_lock_1(stream text, instance text) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT hashtextextended('@namespace_name@ writer ' || $1 || '#' || $2, 0)
$$;

CREATE FUNCTION @namespace@.group_lock_1(stream text, instance text) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT hashtextextended('@namespace_name@ group ' || $1 || '#' || $2, 0)
$$;

-- 63 random bits.
CREATE FUNCTION @namespace@.random_mark_1() RETURNS bigint
LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
    SELECT uuid_hash_extended(gen_random_uuid(), 0) & 9223372036854775807
$$;

-- The running incarnation; null where it has ended, and nobody has joined since.
CREATE FUNCTION @namespace@.incarnation_1() RETURNS bigint
LANGUAGE sql STABLE AS $$
    SELECT t.incarnation FROM @namespace@.token t
    WHERE t.xmin = t.made_by::xid
        AND t.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())
$$;

-- Where events are, by their ids and in their order: nulls for one that is not there.
--
-- A function keeps its plans. One that was made while the table was small would read all of it, long after it has grown:
-- so the ids are looked up one by one, and an index costs the planner nothing, here and wherever else it says so.
CREATE FUNCTION @namespace@.find_events_1(
    stream_row integer, event_ids text[], OUT ids bigint[], OUT writers bigint[], OUT keys text[]
)
LANGUAGE plpgsql SET random_page_cost = 0 AS $$
#variable_conflict use_column
BEGIN
    SELECT array_agg(e.stream_id ORDER BY u.place), array_agg(e.writer ORDER BY u.place), array_agg(e.key ORDER BY u.place)
    INTO find_events_1.ids, find_events_1.writers, find_events_1.keys
    FROM unnest(find_events_1.event_ids) WITH ORDINALITY u (event_id, place)
    LEFT JOIN LATERAL (
        SELECT x.stream_id, x.writer, x.key FROM @namespace@.events x
        WHERE x.stream = find_events_1.stream_row AND x.event_id = u.event_id LIMIT 1
    ) e ON true;
END
$$;

-- To be called first by whatever checks a promise. Under another isolation level every statement would see a snapshot from
-- before the lock; and an acknowledged commit has to be durable, whatever the role's setting.
CREATE FUNCTION @namespace@.begin_1() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'the transaction is %, and Tidemark needs read committed', current_setting('transaction_isolation')
        USING ERRCODE = 'TM001', DETAIL = json_build_object(
            'problem', format('its isolation level is %s: begin it with READ COMMITTED',
                current_setting('transaction_isolation')))::text;
    END IF;
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
END
$$;

-- Says why a writer may not commit: raises the error. To be called when a guard found no row.
--
-- Who writes names the incarnation that it joined in, here and below: where a promotion lost its join, another process may
-- have the same epoch in the next one. Null is compared with nothing: for whoever finishes by hand what others left.
CREATE FUNCTION @namespace@.refuse_1(
    stream text, instance text, epoch bigint, incarnation bigint, known bigint DEFAULT 0, fence bigint DEFAULT NULL
) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    s @namespace@.streams%ROWTYPE;
    i @namespace@.instances%ROWTYPE;
    newest bigint;
    problem text;
    wrong_id bigint := 0;
BEGIN
    SELECT * INTO s FROM @namespace@.streams st WHERE st.name = refuse_1.stream;
    SELECT * INTO i FROM @namespace@.instances it WHERE it.stream = s.stream AND it.instance = refuse_1.instance;
    PERFORM @namespace@.require_here_1(refuse_1.stream);
    newest := coalesce(pg_sequence_last_value(s.sequence), 0);
    IF i.writer IS NULL THEN
        IF refuse_1.epoch < s.forgotten_epoch THEN
            RAISE EXCEPTION '%#% was retired', refuse_1.instance, refuse_1.epoch USING ERRCODE = 'TM004';
        END IF;
        problem := format('it knows nothing of %s#%s', refuse_1.instance, refuse_1.epoch);
    ELSIF refuse_1.epoch > i.epoch THEN
        wrong_id := newest;
        problem := format('it knows nothing of %s#%s, only of %s#%s', refuse_1.instance, refuse_1.epoch, i.instance,
            i.epoch);
    ELSIF i.epoch > refuse_1.epoch AND (i.is_member OR i.epoch > refuse_1.epoch + 1) THEN
        RAISE EXCEPTION '%#% has taken the name of %#%', i.instance, i.epoch, i.instance, refuse_1.epoch
        USING ERRCODE = 'TM005', DETAIL = json_build_object('epoch', i.epoch)::text;
    ELSIF NOT i.is_member OR i.incarnation IS DISTINCT FROM @namespace@.incarnation_1() THEN
        RAISE EXCEPTION '%#% was retired', refuse_1.instance, refuse_1.epoch USING ERRCODE = 'TM004';
    ELSIF i.incarnation <> refuse_1.incarnation THEN
        -- A promotion lost the join, and another process has got the same epoch since.
        wrong_id := newest;
        problem := format('it knows nothing of this %s#%s, and of another one', i.instance, i.epoch);
    ELSIF i.fence > refuse_1.fence THEN
        RAISE EXCEPTION 'the fence of %#% is at %, and the group names %', i.instance, i.epoch, i.fence, refuse_1.fence
        USING ERRCODE = 'TM006', DETAIL = json_build_object('fence', i.fence)::text;
    ELSIF i.fence < refuse_1.fence THEN
        wrong_id := newest;
        problem := format('the fence of %s#%s is at %s, and was at %s', i.instance, i.epoch, i.fence, refuse_1.fence);
    ELSIF newest < i.position THEN
        wrong_id := i.position;
        problem := format('%s#%s is at %s, but the sequence only at %s', i.instance, i.epoch, i.position, newest);
    ELSIF newest < refuse_1.known THEN
        wrong_id := refuse_1.known;
        problem := format('the sequence has handed out no ID above %s', newest);
    ELSE
        RAISE EXCEPTION 'the writer changed while it was looked at' USING ERRCODE = '40001';
    END IF;
    RAISE EXCEPTION 'the database went backwards: %', problem
    USING ERRCODE = 'TM008', DETAIL = json_build_object(
        'id', wrong_id, 'problem', problem, 'incarnation', coalesce(@namespace@.incarnation_1(), 0))::text;
END
$$;

-- Allocates and persists a group, in one autocommit call. Without metadata in all of it, that array is null. Of each event in
-- the order that they came: its ID, and whether it is new; and the IDs that got a tombstone because their event was there
-- already.
--
-- What happens in every call is few statements, none of which has more than one thing to do: a statement that does all of it
-- took the server more than twice as long.
CREATE FUNCTION @namespace@.persist_1(
    stream text, instance text, epoch bigint, incarnation bigint, fence bigint, known bigint,
    event_ids text[], types text[], keys text[], payloads bytea[], metadata text[] DEFAULT NULL,
    OUT ids bigint[], OUT are_new integer[], OUT tombstones bigint[], OUT mark bigint
)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    stream_row integer;
    writer_row bigint;
    id_sequence regclass;
    count integer := coalesce(cardinality(persist_1.event_ids), 0);
    inserted integer;
    there bigint[];
BEGIN
    -- A call that would change nothing is not made.
    IF current_setting('transaction_isolation') <> 'read committed' OR current_setting('synchronous_commit') = 'off' THEN
        PERFORM @namespace@.begin_1();
    END IF;
    PERFORM pg_advisory_xact_lock_shared(@namespace@.writer_lock_1(persist_1.stream, persist_1.instance)),
        pg_advisory_xact_lock_shared(@namespace@.group_lock_1(persist_1.stream, persist_1.instance));
    -- A new statement, which sees what was committed before the locks were taken.
    SELECT s.stream, s.sequence, i.writer INTO stream_row, id_sequence, writer_row
    FROM @namespace@.streams s
    JOIN @namespace@.instances i ON i.stream = s.stream AND i.instance = persist_1.instance
    JOIN @namespace@.token t ON t.incarnation = i.incarnation AND t.xmin = t.made_by::xid
        AND t.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())
    WHERE s.name = persist_1.stream AND i.epoch = persist_1.epoch AND i.is_member AND i.fence = persist_1.fence
        AND s.keyed_from IS NULL AND i.incarnation = coalesce(persist_1.incarnation, i.incarnation)
        AND coalesce(pg_sequence_last_value(s.sequence), 0) >= greatest(i.position, persist_1.known);
    IF NOT FOUND THEN
        IF EXISTS (SELECT FROM @namespace@.streams s WHERE s.name = persist_1.stream AND s.keyed_from IS NOT NULL) THEN
            RAISE EXCEPTION 'the stream has an index of keys' USING ERRCODE = 'TM031', HINT = 'Call persist_keyed_1.';
        END IF;
        PERFORM @namespace@.refuse_1(
            persist_1.stream, persist_1.instance, persist_1.epoch, persist_1.incarnation, persist_1.known,
            persist_1.fence);
    END IF;
    persist_1.mark := @namespace@.random_mark_1();
    -- Of the two unique indexes this names one: a row that is in the way of an ID is an error.
    IF count = 1 THEN
        persist_1.ids := ARRAY[nextval(id_sequence)];
        INSERT INTO @namespace@.events (stream, kind, stream_id, writer, mark, event_id, type, key, payload, metadata)
        VALUES (stream_row, 0, persist_1.ids[1], writer_row, persist_1.mark, persist_1.event_ids[1], persist_1.types[1],
            persist_1.keys[1], persist_1.payloads[1], persist_1.metadata[1])
        ON CONFLICT (stream, event_id) WHERE event_id IS NOT NULL DO NOTHING;
        GET DIAGNOSTICS inserted = ROW_COUNT;
    ELSE
        persist_1.ids := ARRAY(SELECT nextval(id_sequence) FROM generate_series(1, count));
        -- In the order of event ids, so that two groups with the same events wait for each other in one direction. Mostly
        -- none of them is there, and it is written a third quicker if nobody looks before each row whether it is.
        BEGIN
            INSERT INTO @namespace@.events (stream, kind, stream_id, writer, mark, event_id, type, key, payload, metadata)
            SELECT stream_row, 0, u.stream_id, writer_row, persist_1.mark, u.event_id, u.type, u.key, u.payload, u.metadata
            FROM unnest(
                persist_1.ids, persist_1.event_ids, persist_1.types, persist_1.keys, persist_1.payloads, persist_1.metadata)
                AS u (stream_id, event_id, type, key, payload, metadata)
            ORDER BY u.event_id;
            inserted := count;
        EXCEPTION WHEN unique_violation THEN
            -- What this block wrote is undone: once more, without those that are there.
            INSERT INTO @namespace@.events (stream, kind, stream_id, writer, mark, event_id, type, key, payload, metadata)
            SELECT stream_row, 0, u.stream_id, writer_row, persist_1.mark, u.event_id, u.type, u.key, u.payload, u.metadata
            FROM unnest(
                persist_1.ids, persist_1.event_ids, persist_1.types, persist_1.keys, persist_1.payloads, persist_1.metadata)
                AS u (stream_id, event_id, type, key, payload, metadata)
            ORDER BY u.event_id
            ON CONFLICT (stream, event_id) WHERE event_id IS NOT NULL DO NOTHING;
            GET DIAGNOSTICS inserted = ROW_COUNT;
        END;
    END IF;
    persist_1.are_new := array_fill(1, ARRAY[count]);
    persist_1.tombstones := '{}';
    IF inserted = count THEN RETURN; END IF;

    -- In new statements: whoever was first with an event committed while this waited for it.
    SELECT f.ids INTO there FROM @namespace@.find_events_1(stream_row, persist_1.event_ids) f;
    IF array_position(there, NULL) IS NOT NULL THEN
        RAISE EXCEPTION 'an event that was there is gone' USING ERRCODE = '40001';
    END IF;
    persist_1.tombstones := ARRAY(
        SELECT u.id FROM unnest(persist_1.ids, there) u (id, there) WHERE u.id <> u.there ORDER BY u.id);
    INSERT INTO @namespace@.events (stream, kind, stream_id, writer, mark)
    SELECT stream_row, 1, u.id, writer_row, persist_1.mark FROM unnest(persist_1.tombstones) u (id);
    persist_1.are_new := ARRAY(
        SELECT (u.id = u.there)::integer FROM unnest(persist_1.ids, there) WITH ORDINALITY u (id, there, place)
        ORDER BY u.place);
    persist_1.ids := there;
END
$$;

-- Looks, under the lock that the caller has, whether IDs that were handed out before may be committed; otherwise raises.
-- Where no incarnation is named, they are of the one in which the epoch began. IDs that are named with one are of an epoch that
-- began in it, or void.
CREATE FUNCTION @namespace@.require_committable_1(
    stream text, instance text, epoch bigint, incarnation bigint, ids bigint[], OUT stream_row integer,
    OUT writer_row bigint
)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    durable bigint;
    newest bigint;
BEGIN
    SELECT s.stream, i.writer, i.position, coalesce(pg_sequence_last_value(s.sequence), 0)
    INTO require_committable_1.stream_row, require_committable_1.writer_row, durable, newest
    FROM @namespace@.streams s
    JOIN @namespace@.instances i ON i.stream = s.stream AND i.instance = require_committable_1.instance
    JOIN @namespace@.token t ON t.incarnation = i.incarnation AND t.xmin = t.made_by::xid
            AND t.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())
    WHERE s.name = require_committable_1.stream AND i.epoch = require_committable_1.epoch AND i.is_member
        AND coalesce(pg_sequence_last_value(s.sequence), 0) >= i.position;
    IF NOT FOUND THEN
        PERFORM @namespace@.refuse_1(
            require_committable_1.stream, require_committable_1.instance, require_committable_1.epoch,
            NULL);
    END IF;
    IF require_committable_1.incarnation <> (SELECT t.incarnation FROM @namespace@.token t) THEN
        RAISE EXCEPTION 'the IDs were handed out in another incarnation of the database'
        USING ERRCODE = 'TM013', DETAIL = json_build_object('ids', require_committable_1.ids)::text;
    END IF;
    IF newest < (SELECT max(u.id) FROM unnest(require_committable_1.ids) u (id)) THEN
        PERFORM @namespace@.refuse_1(
            require_committable_1.stream, require_committable_1.instance, require_committable_1.epoch, NULL,
            (SELECT max(u.id) FROM unnest(require_committable_1.ids) u (id)));
    END IF;
    IF durable >= (SELECT min(u.id) FROM unnest(require_committable_1.ids) u (id)) THEN
        PERFORM @namespace@.raise_closed_1((SELECT min(u.id) FROM unnest(require_committable_1.ids) u (id)));
    END IF;
END
$$;

CREATE FUNCTION @namespace@.raise_closed_1(id bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'ID % was closed for its writer', raise_closed_1.id
    USING ERRCODE = 'TM007', DETAIL = json_build_object('id', raise_closed_1.id)::text,
        HINT = 'Nothing was committed under it. Take a new one.';
END
$$;

-- Persists the event under an ID that was handed out before. Where the event is there already, the ID gets a tombstone; and
-- where its key has a newer event in a stream with an index of keys, which `newest` then names.
CREATE FUNCTION @namespace@.persist_as_1(
    stream text, instance text, epoch bigint, incarnation bigint, id bigint,
    event_id text, type text, key text, payload bytea, metadata text DEFAULT NULL,
    OUT stream_id bigint, OUT is_new boolean, OUT mark bigint, OUT newest bigint
)
LANGUAGE plpgsql SET random_page_cost = 0 AS $$
#variable_conflict use_column
DECLARE
    stream_row integer;
    writer_row bigint;
    taken_by smallint;
    is_keyed boolean := false;
    newest_of_key bigint := 0;
BEGIN
    PERFORM @namespace@.begin_1();
    -- Both, as a group does: an index of keys begins when those have ended that may not have seen it.
    PERFORM pg_advisory_xact_lock_shared(@namespace@.writer_lock_1(persist_as_1.stream, persist_as_1.instance)),
        pg_advisory_xact_lock_shared(@namespace@.group_lock_1(persist_as_1.stream, persist_as_1.instance));
    -- An event that is there needs no ID, and a closed one may be asked for it.
    SELECT e.stream_id INTO persist_as_1.stream_id
    FROM @namespace@.events e JOIN @namespace@.streams s ON s.stream = e.stream
    WHERE s.name = persist_as_1.stream AND e.event_id = persist_as_1.event_id;
    SELECT c.stream_row, c.writer_row INTO stream_row, writer_row
    FROM @namespace@.require_committable_1(
        persist_as_1.stream, persist_as_1.instance, persist_as_1.epoch, persist_as_1.incarnation,
        CASE WHEN persist_as_1.stream_id IS NULL THEN ARRAY[persist_as_1.id] ELSE '{}' END) c;
    persist_as_1.mark := @namespace@.random_mark_1();
    IF persist_as_1.stream_id IS NULL AND persist_as_1.key IS NOT NULL THEN
        SELECT l.is_keyed, l.newest INTO is_keyed, newest_of_key
        FROM @namespace@.lock_key_1(persist_as_1.stream, persist_as_1.key) l;
        IF newest_of_key > persist_as_1.id THEN
            SELECT e.stream_id INTO persist_as_1.stream_id FROM @namespace@.events e
            WHERE e.stream = stream_row AND e.event_id = persist_as_1.event_id;
            IF NOT FOUND THEN
                INSERT INTO @namespace@.events (stream, kind, stream_id, writer, mark)
                VALUES (stream_row, 1, persist_as_1.id, writer_row, persist_as_1.mark)
                ON CONFLICT (stream, stream_id) DO NOTHING;
                IF NOT FOUND THEN PERFORM @namespace@.raise_closed_1(persist_as_1.id); END IF;
                persist_as_1.newest := newest_of_key;
                persist_as_1.is_new := false;
                RETURN;
            END IF;
        END IF;
    END IF;
    IF persist_as_1.stream_id IS NULL THEN
        -- Neither index is named: which one was in the way is looked up in the statements below.
        INSERT INTO @namespace@.events (stream, kind, stream_id, writer, mark, event_id, type, key, payload, metadata)
        VALUES (stream_row, 0, persist_as_1.id, writer_row, persist_as_1.mark, persist_as_1.event_id, persist_as_1.type,
            persist_as_1.key, persist_as_1.payload, persist_as_1.metadata)
        ON CONFLICT DO NOTHING;
        IF FOUND THEN
            IF is_keyed THEN
                INSERT INTO @namespace@.keys (stream, key, stream_id)
                VALUES (stream_row, persist_as_1.key, persist_as_1.id);
            END IF;
            persist_as_1.stream_id := persist_as_1.id;
            persist_as_1.is_new := true;
            RETURN;
        END IF;
        SELECT e.stream_id INTO persist_as_1.stream_id FROM @namespace@.events e
        WHERE e.stream = stream_row AND e.event_id = persist_as_1.event_id;
        IF NOT FOUND THEN PERFORM @namespace@.raise_closed_1(persist_as_1.id); END IF;
    END IF;
    persist_as_1.is_new := false;
    IF persist_as_1.stream_id <> persist_as_1.id
        AND persist_as_1.id <= coalesce(
            pg_sequence_last_value((SELECT s.sequence FROM @namespace@.streams s WHERE s.stream = stream_row)), 0)
    THEN
        INSERT INTO @namespace@.events (stream, kind, stream_id, writer, mark)
        VALUES (stream_row, 1, persist_as_1.id, writer_row, persist_as_1.mark)
        ON CONFLICT (stream, stream_id) DO NOTHING;
    END IF;
END
$$;

-- Commits IDs in the transaction of the caller, together with what that writes into tables of its own: either all of it is
-- there, in the IDs' places in the stream, or nothing. The arguments are those of a reservation.
CREATE FUNCTION @namespace@.commit_ids_1(stream text, instance text, epoch bigint, incarnation bigint, ids bigint[])
RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    stream_row integer;
    writer_row bigint;
    inserted bigint;
BEGIN
    IF commit_ids_1.ids IS NULL THEN
        -- It would commit nothing, and its client would take the IDs for committed.
        RAISE EXCEPTION 'commit_ids_1 was given no array of IDs' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    PERFORM @namespace@.begin_1();
    PERFORM pg_advisory_xact_lock_shared(@namespace@.writer_lock_1(commit_ids_1.stream, commit_ids_1.instance));
    SELECT c.stream_row, c.writer_row INTO stream_row, writer_row
    FROM @namespace@.require_committable_1(
        commit_ids_1.stream, commit_ids_1.instance, commit_ids_1.epoch, commit_ids_1.incarnation, commit_ids_1.ids) c;
    INSERT INTO @namespace@.events (stream, kind, stream_id, writer, mark)
    SELECT stream_row, 2, u.id, writer_row, m.mark
    FROM unnest(commit_ids_1.ids) u (id), (SELECT @namespace@.random_mark_1() AS mark) m ORDER BY u.id
    ON CONFLICT (stream, stream_id) DO NOTHING;
    GET DIAGNOSTICS inserted = ROW_COUNT;
    IF inserted < cardinality(commit_ids_1.ids) THEN
        PERFORM @namespace@.raise_closed_1(commit_ids_1.ids[1]);
    END IF;
END
$$;

-- New IDs, and the incarnation that they are of. They promise nothing: a crash may hand them out again, in another one.
CREATE FUNCTION @namespace@.allocate_1(
    stream text, instance text, epoch bigint, joined_in bigint, count integer, OUT ids bigint[], OUT incarnation bigint
)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    WITH w AS MATERIALIZED (
        SELECT s.sequence, t.incarnation
        FROM @namespace@.streams s
        JOIN @namespace@.instances i ON i.stream = s.stream AND i.instance = allocate_1.instance
        JOIN @namespace@.token t ON t.incarnation = i.incarnation AND t.xmin = t.made_by::xid
            AND t.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())
        WHERE s.name = allocate_1.stream AND i.epoch = allocate_1.epoch AND i.is_member
            AND i.incarnation = coalesce(allocate_1.joined_in, i.incarnation)
            AND coalesce(pg_sequence_last_value(s.sequence), 0) >= i.position
    )
    SELECT array_agg(nextval(w.sequence)), min(w.incarnation) INTO allocate_1.ids, allocate_1.incarnation
    FROM w, generate_series(1, allocate_1.count);
    IF allocate_1.ids IS NULL THEN
        PERFORM @namespace@.refuse_1(
            allocate_1.stream, allocate_1.instance, allocate_1.epoch, allocate_1.joined_in);
    END IF;
END
$$;
