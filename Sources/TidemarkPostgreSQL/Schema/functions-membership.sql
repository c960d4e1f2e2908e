-- The functions by which writers come, show that they live, and go.

-- Locks the writer for whatever changes a promise of its for others: excludes every transaction that commits its IDs. One
-- that stands in the way for longer than the limit ends this with lock_not_available (55P03); `holders_1` names it.
CREATE FUNCTION @namespace@.exclude_writer_1(stream text, instance text, limit_ms integer) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM @namespace@.begin_1();
    PERFORM set_config('lock_timeout', exclude_writer_1.limit_ms::text, true);
    PERFORM pg_advisory_xact_lock(@namespace@.writer_lock_1(exclude_writer_1.stream, exclude_writer_1.instance));
END
$$;

-- The steps of a membership version: random, so that two lives of a database do not count alike.
CREATE FUNCTION @namespace@.random_step_1() RETURNS bigint
LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
    SELECT 1 + (@namespace@.random_mark_1() & 1048575)
$$;

-- The stream, made with its sequence where it is missing. Its maker needs no right to create tables.
CREATE FUNCTION @namespace@.make_stream_1(stream text) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    stream_row integer;
    running bigint;
BEGIN
    SELECT s.stream INTO stream_row FROM @namespace@.streams s WHERE s.name = make_stream_1.stream;
    IF FOUND THEN RETURN stream_row; END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('@namespace_name@ streams', 0));
    SELECT s.stream INTO stream_row FROM @namespace@.streams s WHERE s.name = make_stream_1.stream;
    IF FOUND THEN RETURN stream_row; END IF;
    stream_row := nextval(pg_get_serial_sequence('@namespace@.streams', 'stream'));
    EXECUTE format('CREATE SEQUENCE @namespace@.%I AS bigint CACHE 1', 'ids_' || stream_row);
    INSERT INTO @namespace@.streams (stream, name, sequence) OVERRIDING SYSTEM VALUE
    VALUES (stream_row, make_stream_1.stream, format('@namespace@.%I', 'ids_' || stream_row)::regclass);
    running := @namespace@.incarnation_1();
    IF running IS NOT NULL THEN
        INSERT INTO @namespace@.eras (stream, after_id, incarnation) VALUES (stream_row, 0, running);
    END IF;
    RETURN stream_row;
END
$$;

-- Takes the sequence to at least this ID. With nextval: setval would race with those who allocate.
CREATE FUNCTION @namespace@.raise_sequence_1(sequence regclass, at_least bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    newest bigint := coalesce(pg_sequence_last_value(raise_sequence_1.sequence), 0);
BEGIN
    IF raise_sequence_1.at_least - newest > 100000000 THEN
        RAISE EXCEPTION 'the sequence % is % IDs behind', raise_sequence_1.sequence, raise_sequence_1.at_least - newest
        USING ERRCODE = 'TM008', DETAIL = json_build_object('id', raise_sequence_1.at_least, 'problem', format(
            'the sequence %s is only at %s: set it by hand while no writer runs', raise_sequence_1.sequence,
            newest))::text;
    END IF;
    WHILE newest < raise_sequence_1.at_least LOOP
        SELECT max(nextval(raise_sequence_1.sequence)) INTO newest
        FROM generate_series(1, least(raise_sequence_1.at_least - newest, 100000));
    END LOOP;
    RETURN newest;
END
$$;

-- How high the sequence of a stream has to be: not below a row, what a writer has promised, the beginning of an era, or what
-- was pruned.
CREATE FUNCTION @namespace@.least_sequence_1(stream_row integer) RETURNS bigint
LANGUAGE sql STABLE AS $$
    SELECT greatest(
        coalesce((SELECT max(e.stream_id) FROM @namespace@.events e WHERE e.stream = $1), 0),
        coalesce((SELECT max(i.position) FROM @namespace@.instances i WHERE i.stream = $1), 0),
        coalesce((SELECT max(a.after_id) FROM @namespace@.eras a WHERE a.stream = $1), 0),
        coalesce((SELECT s.pruned_through FROM @namespace@.streams s WHERE s.stream = $1), 0))
$$;

-- Begins an incarnation where none runs: after a crash, a promotion or a restore, which may have taken the sequences
-- back, so that IDs which somebody holds are handed out again. It ends all epochs, and takes each sequence above
-- all that is there. Returns the incarnation that runs.
CREATE FUNCTION @namespace@.begin_incarnation_1() RETURNS bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    running bigint;
BEGIN
    running := @namespace@.incarnation_1();
    IF running IS NOT NULL THEN RETURN running; END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('@namespace_name@ incarnation', 0));
    running := @namespace@.incarnation_1();
    IF running IS NOT NULL THEN RETURN running; END IF;
    -- A prepared transaction survives a crash, and so do its locks.
    PERFORM pg_advisory_xact_lock(l.key)
    FROM (
        SELECT DISTINCT @namespace@.writer_lock_1(s.name, i.instance) AS key
        FROM @namespace@.instances i JOIN @namespace@.streams s ON s.stream = i.stream WHERE i.is_member ORDER BY key
    ) l;
    running := @namespace@.random_mark_1();
    -- Versions jump far: a failover may have lost joins, which would count the same versions again.
    UPDATE @namespace@.streams SET membership_version = membership_version + 1
        + (@namespace@.random_mark_1() & 17592186044415);
    UPDATE @namespace@.instances SET
        epoch = epoch + 1, is_member = false, left_at = clock_timestamp(), in_flight = 0, lowest_in_flight = NULL,
        in_flight_since = NULL
    WHERE is_member;
    INSERT INTO @namespace@.eras (stream, after_id, incarnation)
    -- One ID is left out, so that no two eras of a stream begin at the same place.
    SELECT s.stream, @namespace@.raise_sequence_1(
        s.sequence,
        greatest(@namespace@.least_sequence_1(s.stream), coalesce(pg_sequence_last_value(s.sequence), 0)) + 1), running
    FROM @namespace@.streams s;
    DELETE FROM @namespace@.token;
    INSERT INTO @namespace@.token (incarnation, database)
    SELECT running, d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database();
    RETURN running;
END
$$;

-- What has become of the name, for `join_1`: one row, with epoch 0 where nobody has it.
CREATE FUNCTION @namespace@.standing_1(
    stream text, instance text, OUT epoch bigint, OUT is_member boolean, OUT nonce bigint, OUT forgotten_epoch bigint,
    OUT incarnation bigint
)
LANGUAGE sql STABLE AS $$
    SELECT coalesce(i.epoch, 0), coalesce(i.is_member, false), coalesce(i.nonce, 0), coalesce(s.forgotten_epoch, 0),
        coalesce(i.incarnation, 0)
    FROM (SELECT) one
    LEFT JOIN @namespace@.streams s ON s.name = $1
    LEFT JOIN @namespace@.instances i ON i.stream = s.stream AND i.instance = $2
$$;

-- The members of a stream, a line each: instance, epoch, position and nonce.
CREATE FUNCTION @namespace@.members_1(stream_row integer) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT coalesce(string_agg(concat_ws(' ', i.instance, i.epoch, i.position, i.nonce), E'\n'), '')
    FROM @namespace@.instances i WHERE i.stream = $1 AND i.is_member
$$;

-- Makes the stream where it is missing, and the instance a member, with the epoch after `replaces`, which has to be the
-- newest of its name. With the nonce of a member, which is that of a call whose answer was lost, it changes nothing.
CREATE FUNCTION @namespace@.join_1(
    stream text, instance text, replaces bigint, nonce bigint, process_id integer, life_key bigint, limit_ms integer,
    OUT epoch bigint, OUT "position" bigint, OUT raised_from bigint, OUT fence bigint, OUT incarnation bigint,
    OUT version bigint, OUT members text, OUT eras text
)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    s @namespace@.streams%ROWTYPE;
    i @namespace@.instances%ROWTYPE;
    newest bigint;
BEGIN
    PERFORM @namespace@.exclude_writer_1(join_1.stream, join_1.instance, join_1.limit_ms);
    join_1.incarnation := @namespace@.begin_incarnation_1();
    PERFORM @namespace@.make_stream_1(join_1.stream);
    SELECT * INTO STRICT s FROM @namespace@.streams st WHERE st.name = join_1.stream FOR UPDATE;
    PERFORM @namespace@.require_here_1(join_1.stream);
    SELECT * INTO i FROM @namespace@.instances it WHERE it.stream = s.stream AND it.instance = join_1.instance FOR UPDATE;
    IF NOT (coalesce(i.is_member, false) AND i.nonce = join_1.nonce) THEN
        -- A beginning incarnation has ended the epoch that was the newest, and raised it by one.
        IF i.epoch IS DISTINCT FROM nullif(join_1.replaces, 0) AND (i.is_member OR i.epoch > join_1.replaces + 1) THEN
            RAISE EXCEPTION '%#% has taken the name', i.instance, i.epoch
            USING ERRCODE = 'TM005', DETAIL = json_build_object('epoch', i.epoch)::text;
        END IF;
        newest := coalesce(pg_sequence_last_value(s.sequence), 0);
        join_1.position := @namespace@.raise_sequence_1(s.sequence, @namespace@.least_sequence_1(s.stream));
        IF newest < join_1.position THEN join_1.raised_from := newest; END IF;
        INSERT INTO @namespace@.instances AS it
            (stream, instance, epoch, nonce, incarnation, is_member, position, heartbeat_at, process_id, life_key)
        VALUES (s.stream, join_1.instance, s.forgotten_epoch + 1, join_1.nonce, join_1.incarnation, true, join_1.position,
            clock_timestamp(), join_1.process_id, join_1.life_key)
        ON CONFLICT (stream, instance) DO UPDATE SET
            epoch = it.epoch + 1, nonce = excluded.nonce, incarnation = excluded.incarnation, is_member = true,
            left_at = NULL, position = excluded.position, is_closed = false, heartbeat = it.heartbeat + 1,
            heartbeat_at = excluded.heartbeat_at, in_flight = 0, lowest_in_flight = NULL, in_flight_since = NULL,
            process_id = excluded.process_id, life_key = excluded.life_key
        RETURNING * INTO i;
        UPDATE @namespace@.streams SET membership_version = membership_version + @namespace@.random_step_1()
        WHERE stream = s.stream;
    END IF;
    join_1.epoch := i.epoch;
    join_1.position := i.position;
    join_1.fence := i.fence;
    SELECT st.membership_version, @namespace@.members_1(st.stream), @namespace@.eras_1(st.stream)
    INTO join_1.version, join_1.members, join_1.eras
    FROM @namespace@.streams st WHERE st.stream = s.stream;
END
$$;

-- Nothing can be committed under the epoch from now on, so nothing of it is in flight either. The caller has the lock.
CREATE FUNCTION @namespace@.end_epoch_1(writer_row bigint) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    UPDATE @namespace@.streams s SET membership_version = s.membership_version + @namespace@.random_step_1()
    FROM @namespace@.instances i WHERE i.writer = end_epoch_1.writer_row AND s.stream = i.stream;
    UPDATE @namespace@.instances SET
        epoch = epoch + 1, is_member = false, left_at = clock_timestamp(), in_flight = 0, lowest_in_flight = NULL,
        in_flight_since = NULL
    WHERE writer = end_epoch_1.writer_row;
END
$$;

-- The instance's row, under the lock; raises where there is none.
CREATE FUNCTION @namespace@.require_instance_1(stream text, instance text) RETURNS @namespace@.instances
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    i @namespace@.instances%ROWTYPE;
BEGIN
    IF NOT EXISTS (SELECT FROM @namespace@.streams s WHERE s.name = require_instance_1.stream) THEN
        RAISE EXCEPTION 'there is no stream %', require_instance_1.stream USING ERRCODE = 'TM002';
    END IF;
    SELECT it.* INTO i FROM @namespace@.instances it JOIN @namespace@.streams s ON s.stream = it.stream
    WHERE s.name = require_instance_1.stream AND it.instance = require_instance_1.instance;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no instance %', require_instance_1.instance USING ERRCODE = 'TM003';
    END IF;
    RETURN i;
END
$$;

-- The orderly end of an epoch. Does nothing when it is over already.
CREATE FUNCTION @namespace@.leave_1(
    stream text, instance text, epoch bigint, incarnation bigint, limit_ms integer
) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM @namespace@.exclude_writer_1(leave_1.stream, leave_1.instance, leave_1.limit_ms);
    PERFORM @namespace@.end_epoch_1(i.writer)
    FROM @namespace@.instances i JOIN @namespace@.streams s ON s.stream = i.stream
    WHERE s.name = leave_1.stream AND i.instance = leave_1.instance AND i.epoch = leave_1.epoch AND i.is_member
        AND i.incarnation = coalesce(leave_1.incarnation, i.incarnation);
    IF FOUND THEN RETURN; END IF;
    -- An epoch that is yet to come, or a writer that is not known, is an error.
    PERFORM @namespace@.refuse_1(leave_1.stream, leave_1.instance, leave_1.epoch, leave_1.incarnation);
EXCEPTION WHEN SQLSTATE 'TM004' OR SQLSTATE 'TM005' OR SQLSTATE 'TM014' THEN
    RETURN;
END
$$;

-- Raises the durable position of the instance to the newest ID of the sequence, whatever its heartbeat says.
CREATE FUNCTION @namespace@.close_1(stream text, instance text, limit_ms integer) RETURNS bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    writer_row bigint;
BEGIN
    PERFORM @namespace@.exclude_writer_1(close_1.stream, close_1.instance, close_1.limit_ms);
    writer_row := (@namespace@.require_instance_1(close_1.stream, close_1.instance)).writer;
    RETURN @namespace@.raise_position_1(writer_row);
END
$$;

-- The caller has the lock. Returns the position.
CREATE FUNCTION @namespace@.raise_position_1(writer_row bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    newest bigint;
    durable bigint;
BEGIN
    SELECT coalesce(pg_sequence_last_value(s.sequence), 0), i.position INTO newest, durable
    FROM @namespace@.instances i JOIN @namespace@.streams s ON s.stream = i.stream
    WHERE i.writer = raise_position_1.writer_row;
    IF newest < durable THEN
        RAISE EXCEPTION 'a writer is at %, but the sequence only at %', durable, newest
        USING ERRCODE = 'TM008', DETAIL = json_build_object('id', durable, 'problem', format(
            'a writer is at %s, but the sequence only at %s', durable, newest))::text;
    END IF;
    UPDATE @namespace@.instances SET is_closed = is_closed OR position < newest, position = greatest(position, newest)
    WHERE writer = raise_position_1.writer_row;
    RETURN newest;
END
$$;

-- Takes the instance off the members, whatever its heartbeat says.
CREATE FUNCTION @namespace@.retire_1(stream text, instance text, limit_ms integer) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    i @namespace@.instances%ROWTYPE;
BEGIN
    PERFORM @namespace@.exclude_writer_1(retire_1.stream, retire_1.instance, retire_1.limit_ms);
    i := @namespace@.require_instance_1(retire_1.stream, retire_1.instance);
    IF i.is_member THEN PERFORM @namespace@.end_epoch_1(i.writer); END IF;
END
$$;

-- The member's row number, under the lock, if it still is what was observed; otherwise null.
--
-- Where its process is gone, that is looked at again; where it is not, the heartbeat has to be the same, and this must not
-- be later than a second after the observation, by the clock of the server: whoever waited for the same lock to write a
-- heartbeat comes first.
CREATE FUNCTION @namespace@.observed_writer_1(
    stream text, instance text, epoch bigint, "position" bigint, heartbeat bigint, is_gone boolean, read_at_us bigint,
    limit_ms integer
) RETURNS bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    i @namespace@.instances%ROWTYPE;
BEGIN
    PERFORM @namespace@.exclude_writer_1(
        observed_writer_1.stream, observed_writer_1.instance, observed_writer_1.limit_ms);
    i := @namespace@.require_instance_1(observed_writer_1.stream, observed_writer_1.instance);
    IF NOT i.is_member OR i.epoch <> observed_writer_1.epoch OR i.position <> observed_writer_1.position THEN
        RETURN NULL;
    END IF;
    IF observed_writer_1.is_gone THEN
        RETURN CASE WHEN @namespace@.is_gone_1(i.life_key) THEN i.writer END;
    END IF;
    IF i.heartbeat <> observed_writer_1.heartbeat
        OR extract(epoch FROM clock_timestamp()) * 1000000 - observed_writer_1.read_at_us > 1000000
    THEN
        RETURN NULL;
    END IF;
    RETURN i.writer;
END
$$;

-- Whether nobody holds the lock of a process's life. Those who look share it, so that they do not take each other for it.
CREATE FUNCTION @namespace@.is_gone_1(life_key bigint) RETURNS boolean
LANGUAGE sql VOLATILE AS $$
    SELECT coalesce(pg_try_advisory_xact_lock_shared($1), false)
$$;

-- `close_1` under the condition of `observed_writer_1`: null where it is not met, and then nothing was done.
CREATE FUNCTION @namespace@.close_observed_1(
    stream text, instance text, epoch bigint, "position" bigint, heartbeat bigint, is_gone boolean, read_at_us bigint,
    limit_ms integer
) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    writer_row bigint := @namespace@.observed_writer_1(stream, instance, epoch, "position", heartbeat, is_gone, read_at_us,
        limit_ms);
BEGIN
    RETURN CASE WHEN writer_row IS NOT NULL THEN @namespace@.raise_position_1(writer_row) END;
END
$$;

-- `retire_1` under the same condition; whether it did.
CREATE FUNCTION @namespace@.retire_observed_1(
    stream text, instance text, epoch bigint, "position" bigint, heartbeat bigint, is_gone boolean, read_at_us bigint,
    limit_ms integer
) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    writer_row bigint := @namespace@.observed_writer_1(stream, instance, epoch, "position", heartbeat, is_gone, read_at_us,
        limit_ms);
BEGIN
    IF writer_row IS NULL THEN RETURN false; END IF;
    PERFORM @namespace@.end_epoch_1(writer_row);
    RETURN true;
END
$$;

-- Writes down what writers of one process promise; all beats or, when one of them cannot be true, none. Of each, in the
-- order of the beats: whether it is `alive`, `retired` or `taken`, by which epoch, and, while it is alive, the newest
-- committed ID, its durable position, and the incarnation.
CREATE FUNCTION @namespace@.heartbeat_1(
    streams text[], instances text[], epochs bigint[], incarnations bigint[], positions bigint[], in_flight bigint[],
    lowest_in_flight bigint[], in_flight_ms bigint[], life_key bigint
) RETURNS TABLE (answer text, holder bigint, newest_committed bigint, durable_position bigint, incarnation bigint)
LANGUAGE plpgsql SET random_page_cost = 0 AS $$
#variable_conflict use_column
DECLARE
    running bigint := @namespace@.incarnation_1();
    wrong record;
BEGIN
    PERFORM @namespace@.begin_1();
    SELECT b.stream, b.instance, b.epoch, b.joined_in, greatest(b.position, b.lowest) AS known INTO wrong
    FROM unnest(streams, instances, epochs, incarnations, positions, lowest_in_flight)
        AS b (stream, instance, epoch, joined_in, position, lowest)
    LEFT JOIN @namespace@.streams s ON s.name = b.stream
    LEFT JOIN @namespace@.instances i ON i.stream = s.stream AND i.instance = b.instance
    WHERE CASE WHEN i.writer IS NULL THEN b.epoch >= coalesce(s.forgotten_epoch, 0)
        ELSE b.epoch > i.epoch OR b.epoch = i.epoch AND i.is_member AND i.incarnation = running AND (
            i.incarnation <> b.joined_in
            OR coalesce(pg_sequence_last_value(s.sequence), 0) < greatest(b.position, b.lowest, i.position)) END
    LIMIT 1;
    IF FOUND THEN PERFORM @namespace@.refuse_1(wrong.stream, wrong.instance, wrong.epoch, wrong.joined_in, wrong.known); END IF;

    WITH beats AS MATERIALIZED (
        -- In one order, so that two processes do not wait for each other.
        SELECT i.writer, b.*
        FROM unnest(streams, instances, epochs, incarnations, positions, in_flight, lowest_in_flight, in_flight_ms)
            AS b (stream, instance, epoch, joined_in, position, in_flight, lowest, ms)
        JOIN @namespace@.streams s ON s.name = b.stream
        JOIN @namespace@.instances i ON i.stream = s.stream AND i.instance = b.instance
        WHERE i.epoch = b.epoch AND i.is_member AND i.incarnation = running
            AND i.incarnation = coalesce(b.joined_in, i.incarnation)
        ORDER BY i.writer FOR UPDATE OF i
    )
    UPDATE @namespace@.instances i SET
        is_closed = i.is_closed AND i.position > b.position, position = greatest(i.position, b.position),
        heartbeat = i.heartbeat + 1, heartbeat_at = clock_timestamp(), in_flight = b.in_flight,
        lowest_in_flight = b.lowest,
        in_flight_since = CASE WHEN b.in_flight > 0 THEN clock_timestamp() - b.ms * interval '1 millisecond' END,
        life_key = heartbeat_1.life_key
    FROM beats b WHERE i.writer = b.writer AND i.epoch = b.epoch AND i.is_member;

    RETURN QUERY
    SELECT CASE
            WHEN b.epoch = i.epoch AND i.is_member AND i.incarnation = running THEN 'alive'
            WHEN i.epoch > b.epoch AND (i.is_member OR i.epoch > b.epoch + 1) THEN 'taken'
            ELSE 'retired' END,
        i.epoch, coalesce((SELECT max(e.stream_id) FROM @namespace@.events e WHERE e.stream = s.stream), 0), i.position,
        running
    FROM unnest(streams, instances, epochs) WITH ORDINALITY AS b (stream, instance, epoch, place)
    LEFT JOIN @namespace@.streams s ON s.name = b.stream
    LEFT JOIN @namespace@.instances i ON i.stream = s.stream AND i.instance = b.instance
    ORDER BY b.place;
END
$$;

-- A commit that is written to the log and waited for, which is what shows that everyone could write just now.
CREATE FUNCTION @namespace@.check_writable_1() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM @namespace@.begin_1();
    PERFORM pg_logical_emit_message(true, '@namespace_name@', '');
END
$$;

-- A process has a new direct connection, and with it a new lock of its life.
CREATE FUNCTION @namespace@.renew_life_1(old_key bigint, new_key bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM @namespace@.begin_1();
    UPDATE @namespace@.instances i SET life_key = new_key WHERE i.life_key = old_key;
    UPDATE @namespace@.consumers c SET holder_key = new_key WHERE c.holder_key = old_key;
    UPDATE @namespace@.processes p SET life_key = new_key WHERE p.life_key = old_key;
END
$$;

-- Forgets one; whether it did. A member is not forgotten.
CREATE FUNCTION @namespace@.forget_writer_1(writer_row bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    i @namespace@.instances%ROWTYPE;
BEGIN
    DELETE FROM @namespace@.instances WHERE writer = forget_writer_1.writer_row AND NOT is_member RETURNING * INTO i;
    IF NOT FOUND THEN RETURN false; END IF;
    UPDATE @namespace@.streams SET forgotten_epoch = greatest(forgotten_epoch, i.epoch) WHERE stream = i.stream;
    INSERT INTO @namespace@.former_instances (writer, instance) VALUES (i.writer, i.instance);
    RETURN true;
END
$$;

-- Forgets names of writers that left, the longest ago first. The events that they wrote keep the name.
CREATE FUNCTION @namespace@.forget_left_1(older_than_ms bigint, maximum integer) RETURNS bigint
LANGUAGE plpgsql AS $$
BEGIN
    RETURN (
        SELECT count(@namespace@.forget_writer_1(f.writer))
        FROM (
            SELECT i.writer FROM @namespace@.instances i
            WHERE i.left_at < clock_timestamp() - older_than_ms * interval '1 millisecond'
            ORDER BY i.left_at LIMIT maximum FOR UPDATE SKIP LOCKED
        ) f);
END
$$;

-- Forgets the name of a writer that left, at once; whether it did.
CREATE FUNCTION @namespace@.forget_1(stream text, instance text, limit_ms integer) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM @namespace@.exclude_writer_1(forget_1.stream, forget_1.instance, forget_1.limit_ms);
    RETURN @namespace@.forget_writer_1((@namespace@.require_instance_1(forget_1.stream, forget_1.instance)).writer);
END
$$;
