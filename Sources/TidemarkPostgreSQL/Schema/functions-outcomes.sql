-- The functions that find out, and make certain, what became of IDs and groups.

-- Puts tombstones into the rows of the IDs that have none. The rest is told of each: it holds an event, or it is void,
-- because another incarnation handed it out, and may be another ID by now. No incarnation means the running one, which then
-- has to be the one that the writer joined in, where its epoch is the newest.
CREATE FUNCTION @namespace@.abandon_1(
    stream text, instance text, epoch bigint, joined_in bigint, incarnation bigint, ids bigint[], limit_ms integer,
    OUT committed bigint[], OUT void bigint[], OUT pruned bigint[]
)
LANGUAGE plpgsql SET random_page_cost = 0 AS $$
#variable_conflict use_column
DECLARE
    stream_row integer;
    writer_row bigint;
    newest bigint;
    wanted bigint := (SELECT max(u.id) FROM unnest(abandon_1.ids) u (id));
BEGIN
    PERFORM @namespace@.begin_1();
    PERFORM set_config('lock_timeout', abandon_1.limit_ms::text, true);
    -- What has moved away changes no more.
    PERFORM pg_advisory_xact_lock_shared(@namespace@.move_lock_1(abandon_1.stream));
    PERFORM @namespace@.require_here_1(abandon_1.stream);
    SELECT s.stream, i.writer, coalesce(pg_sequence_last_value(s.sequence), 0) INTO stream_row, writer_row, newest
    FROM @namespace@.streams s JOIN @namespace@.instances i ON i.stream = s.stream
    WHERE s.name = abandon_1.stream AND i.instance = abandon_1.instance
        AND (i.epoch > abandon_1.epoch OR i.epoch = abandon_1.epoch AND (
            abandon_1.incarnation IS NOT NULL OR i.incarnation = coalesce(abandon_1.joined_in, i.incarnation)));
    IF NOT FOUND THEN
        PERFORM @namespace@.refuse_1(
            abandon_1.stream, abandon_1.instance, abandon_1.epoch, abandon_1.joined_in);
    END IF;
    IF coalesce(abandon_1.incarnation, @namespace@.incarnation_1()) = @namespace@.incarnation_1() THEN
        IF newest < wanted THEN
            RAISE EXCEPTION 'the sequence has handed out no ID above %', newest
            USING ERRCODE = 'TM008', DETAIL = json_build_object(
                'id', wanted, 'problem', format('the sequence has handed out no ID above %s', newest))::text;
        END IF;
        -- Waits for whoever is about to commit one of them; whoever comes later finds the tombstone.
        INSERT INTO @namespace@.events (stream, kind, stream_id, writer, mark)
        SELECT stream_row, 1, u.id, writer_row, m.mark
        FROM unnest(abandon_1.ids) u (id), (SELECT @namespace@.random_mark_1() AS mark) m
        WHERE u.id > (SELECT s.pruned_through FROM @namespace@.streams s WHERE s.stream = stream_row)
        ORDER BY u.id
        ON CONFLICT (stream, stream_id) DO NOTHING;
        SELECT array_agg(u.id ORDER BY u.id) INTO abandon_1.pruned
        FROM unnest(abandon_1.ids) u (id)
        WHERE u.id <= (SELECT s.pruned_through FROM @namespace@.streams s WHERE s.stream = stream_row)
            AND (SELECT e.kind FROM @namespace@.events e WHERE e.stream = stream_row AND e.stream_id = u.id) IS NULL;
        -- Not `= ANY`, for which a plan may read all rows of the stream.
        SELECT array_agg(u.id ORDER BY u.id) INTO abandon_1.committed
        FROM unnest(abandon_1.ids) u (id)
        WHERE (SELECT e.kind FROM @namespace@.events e WHERE e.stream = stream_row AND e.stream_id = u.id) <> 1;
        abandon_1.void := '{}';
    ELSE
        -- What has a row in the era of their own incarnation is theirs; nothing more can be committed in it.
        WITH era AS (
            SELECT a.after_id, (
                SELECT min(b.after_id) FROM @namespace@.eras b
                WHERE b.stream = stream_row AND b.after_id > a.after_id) AS through
            FROM @namespace@.eras a WHERE a.stream = stream_row AND a.incarnation = abandon_1.incarnation
        )
        SELECT array_agg(u.id ORDER BY u.id) FILTER (WHERE e.kind <> 1),
            array_agg(u.id ORDER BY u.id) FILTER (WHERE e.kind IS NULL)
        INTO abandon_1.committed, abandon_1.void
        FROM unnest(abandon_1.ids) u (id)
        LEFT JOIN LATERAL (
            SELECT x.kind, x.writer FROM @namespace@.events x WHERE x.stream = stream_row AND x.stream_id = u.id LIMIT 1
        ) e ON e.writer = writer_row
            AND EXISTS (SELECT FROM era WHERE u.id > era.after_id AND (era.through IS NULL OR u.id <= era.through));
    END IF;
    abandon_1.committed := coalesce(abandon_1.committed, '{}');
    abandon_1.void := coalesce(abandon_1.void, '{}');
    abandon_1.pruned := coalesce(abandon_1.pruned, '{}');
END
$$;

-- Settles what became of groups of unknown outcome: raises the fence, under the lock that excludes groups, so that none of
-- them can commit from now on; and then looks, in a new statement, which of their events are there.
--
-- Of each event: its ID, 0 where it is not there, and whether it is of this writer and above what the writer knew
-- before the group. And the tombstones of the writer above what it knew, 10,000 at most: its losers are among them.
CREATE FUNCTION @namespace@.settle_1(
    stream text, instance text, epoch bigint, incarnation bigint, fence bigint, event_ids text[], known bigint[],
    limit_ms integer, OUT new_fence bigint, OUT ids bigint[], OUT are_own integer[], OUT tombstones bigint[]
)
LANGUAGE plpgsql SET random_page_cost = 0 AS $$
#variable_conflict use_column
DECLARE
    stream_row integer;
    writer_row bigint;
    there record;
BEGIN
    PERFORM @namespace@.begin_1();
    PERFORM set_config('lock_timeout', settle_1.limit_ms::text, true);
    PERFORM pg_advisory_xact_lock(@namespace@.group_lock_1(settle_1.stream, settle_1.instance));
    UPDATE @namespace@.instances i SET fence = greatest(i.fence, settle_1.fence + 1)
    FROM @namespace@.streams s
    WHERE s.name = settle_1.stream AND i.stream = s.stream AND i.instance = settle_1.instance
        AND i.epoch = settle_1.epoch AND i.is_member
        AND i.incarnation = coalesce(settle_1.incarnation, i.incarnation)
    RETURNING s.stream, i.writer, i.fence INTO stream_row, writer_row, settle_1.new_fence;
    IF NOT FOUND THEN
        -- The epoch is over: nothing of it can commit, and what it left behind is told all the same.
        -- What another process has committed under the same epoch is not its own.
        SELECT s.stream,
            CASE WHEN i.epoch > settle_1.epoch OR i.incarnation = coalesce(settle_1.incarnation, i.incarnation)
                THEN i.writer END,
            settle_1.fence
        INTO stream_row, writer_row, settle_1.new_fence
        FROM @namespace@.streams s JOIN @namespace@.instances i ON i.stream = s.stream
        WHERE s.name = settle_1.stream AND i.instance = settle_1.instance AND i.epoch >= settle_1.epoch;
        IF NOT FOUND THEN
            PERFORM @namespace@.refuse_1(
                settle_1.stream, settle_1.instance, settle_1.epoch, settle_1.incarnation);
        END IF;
    END IF;
    SELECT * INTO there FROM @namespace@.find_events_1(stream_row, settle_1.event_ids);
    SELECT array_agg(coalesce(u.id, 0) ORDER BY u.place),
        array_agg(coalesce(u.writer = writer_row AND u.id > u.known, false)::integer ORDER BY u.place)
    INTO settle_1.ids, settle_1.are_own
    FROM unnest(there.ids, there.writers, settle_1.known) WITH ORDINALITY AS u (id, writer, known, place);
    SELECT coalesce(array_agg(l.stream_id ORDER BY l.stream_id), '{}') INTO settle_1.tombstones
    FROM (
        SELECT e.stream_id FROM @namespace@.events e
        WHERE e.stream = stream_row AND e.kind = 1 AND e.writer = writer_row
            AND e.stream_id > (SELECT min(u.known) FROM unnest(settle_1.known) u (known))
        ORDER BY e.stream_id LIMIT 10000
    ) l;
END
$$;
