-- Pruning: the transaction begins with the first function, reads what it needs under its lock, and ends with the second. Both
-- are for the owner of the tables alone: the second one removes what it is told to.

-- Excludes whoever puts a consumer at a place of the stream, and prunes it. The stream's row.
CREATE FUNCTION @namespace@.begin_prune_1(stream text, limit_ms integer) RETURNS integer
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    stream_row integer;
BEGIN
    PERFORM @namespace@.begin_1();
    PERFORM set_config('lock_timeout', begin_prune_1.limit_ms::text, true);
    PERFORM pg_advisory_xact_lock_shared(@namespace@.move_lock_1(begin_prune_1.stream));
    PERFORM @namespace@.require_here_1(begin_prune_1.stream);
    SELECT s.stream INTO stream_row FROM @namespace@.streams s WHERE s.name = begin_prune_1.stream;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no stream %', begin_prune_1.stream USING ERRCODE = 'TM002';
    END IF;
    PERFORM pg_advisory_xact_lock(@namespace@.prune_lock_1(stream_row));
    RETURN stream_row;
END
$$;

-- Removes the rows above one ID and up to another, and writes down what is left of them. Of consumers, and of partitions (whose
-- number is not null), what was pruned of them all in all; of keys the newest event that was.
CREATE FUNCTION @namespace@.end_prune_1(
    stream_row integer, after_id bigint, through bigint, forgets_ids boolean, new_mark bigint, pruned_id bigint,
    pruned_mark bigint, pruned_count bigint, pruned_sum bigint, pruned_at bigint, forgotten_through bigint,
    consumers text[], numbers bigint[], counts bigint[], sums bigint[], keys text[], key_ids bigint[], stopped text[]
) RETURNS void
LANGUAGE plpgsql SET random_page_cost = 0 AS $$
#variable_conflict use_column
DECLARE
    consumer text;
BEGIN
    IF end_prune_1.forgets_ids THEN
        DELETE FROM @namespace@.events e
        WHERE e.stream = end_prune_1.stream_row AND e.stream_id > end_prune_1.after_id
            AND e.stream_id <= end_prune_1.through;
    ELSE
        DELETE FROM @namespace@.events e
        WHERE e.stream = end_prune_1.stream_row AND e.stream_id > end_prune_1.after_id
            AND e.stream_id <= end_prune_1.through AND e.kind <> 0;
        UPDATE @namespace@.events e SET type = '', payload = '', metadata = NULL
        WHERE e.stream = end_prune_1.stream_row AND e.stream_id > end_prune_1.after_id
            AND e.stream_id <= end_prune_1.through;
    END IF;
    UPDATE @namespace@.streams s SET
        pruned_through = end_prune_1.new_mark, pruned_id = end_prune_1.pruned_id, pruned_mark = end_prune_1.pruned_mark,
        pruned_count = end_prune_1.pruned_count, pruned_sum = end_prune_1.pruned_sum, pruned_at = end_prune_1.pruned_at,
        forgotten_through = end_prune_1.forgotten_through
    WHERE s.stream = end_prune_1.stream_row;
    UPDATE @namespace@.consumers c SET pruned_count = u.count, pruned_sum = u.sum
    FROM unnest(end_prune_1.consumers, end_prune_1.numbers, end_prune_1.counts, end_prune_1.sums)
        u (name, number, count, sum)
    WHERE c.stream = end_prune_1.stream_row AND c.name = u.name AND u.number < 0;
    UPDATE @namespace@.partitions p SET pruned_count = u.count, pruned_sum = u.sum
    FROM unnest(end_prune_1.consumers, end_prune_1.numbers, end_prune_1.counts, end_prune_1.sums)
        u (name, number, count, sum)
    WHERE p.stream = end_prune_1.stream_row AND p.consumer = u.name AND p.partition = u.number;
    DELETE FROM @namespace@.keys k USING unnest(end_prune_1.keys, end_prune_1.key_ids) u (key, id)
    WHERE k.stream = end_prune_1.stream_row AND k.key = u.key AND k.stream_id <= u.id;
    INSERT INTO @namespace@.pruned_keys AS k (stream, key, stream_id)
    SELECT end_prune_1.stream_row, u.key, u.id FROM unnest(end_prune_1.keys, end_prune_1.key_ids) u (key, id)
    ON CONFLICT (stream, key) DO UPDATE SET stream_id = greatest(k.stream_id, excluded.stream_id);
    -- Those who read what was removed can go on no more, and would not be judged rightly if they did.
    FOREACH consumer IN ARRAY end_prune_1.stopped LOOP
        PERFORM @namespace@.stop_reader_1(end_prune_1.stream_row, consumer);
    END LOOP;
    UPDATE @namespace@.partitions p SET claim = p.claim + @namespace@.random_step_1(), owner = NULL
    WHERE p.stream = end_prune_1.stream_row AND p.consumer = ANY (end_prune_1.stopped);
END
$$;
