-- The least rights for programs that use the stream, as a script for psql. Whoever owns the tables runs it once, after a
-- program of the owner's has opened the database:
--
--     psql -v ON_ERROR_STOP=1 -v namespace=tidemark -v writers=stream_writers -v readers=stream_readers -f rights.sql
--
-- The roles are best groups (CREATE ROLE stream_writers NOLOGIN), whose members are the roles that log in. With
-- `-v consumers=stream_consumers` there is a third group: readers that keep their place in the database.
--
-- Writers reach the tables through functions alone: they can neither insert an event past the checks, nor touch the
-- sequence. Readers can only look. Nobody but the owner can change a table or a function.

-- The functions that check and write run with the rights of their owner. This costs groups of one event some of their rate;
-- without it, writers would need INSERT and UPDATE, and nothing would keep them from using those.
SELECT :"namespace".use_owner_rights_1(true);

GRANT USAGE ON SCHEMA :"namespace" TO :"writers", :"readers";
GRANT SELECT ON ALL TABLES IN SCHEMA :"namespace" TO :"writers", :"readers";
-- SELECT shows a sequence's last value; USAGE, which would let one take numbers, is not given. Each stream has a sequence of
-- its own, which the functions make for the owner: so this is for those that are yet to come, too.
GRANT SELECT ON ALL SEQUENCES IN SCHEMA :"namespace" TO :"writers", :"readers";
ALTER DEFAULT PRIVILEGES IN SCHEMA :"namespace" GRANT SELECT ON SEQUENCES TO :"writers", :"readers";

-- What reads: these functions do what a SELECT of the caller's own could do.
GRANT EXECUTE ON FUNCTION
    :"namespace".incarnation_1, :"namespace".members_1, :"namespace".eras_1, :"namespace".end_of_run_1, :"namespace".minimum_persisted_1,
    :"namespace".snapshot_mark_1, :"namespace".writer_lock_1, :"namespace".group_lock_1, :"namespace".holders_1,
    :"namespace".newest_claim_1, :"namespace".newest_row_1, :"namespace".holds_1
TO :"writers", :"readers";

-- What writes. The functions that these call inside, and that check nothing themselves, are the owner's alone; and so are those
-- that prune a stream, or move it.
GRANT EXECUTE ON FUNCTION
    :"namespace".persist_1, :"namespace".settle_1, :"namespace".allocate_1, :"namespace".abandon_1,
    :"namespace".persist_as_1, :"namespace".commit_ids_1, :"namespace".persist_keyed_1,
    :"namespace".make_keys_1, :"namespace".begin_keys_1, :"namespace".await_groups_1, :"namespace".extend_keys_1,
    :"namespace".standing_1, :"namespace".join_1, :"namespace".leave_1, :"namespace".heartbeat_1,
    :"namespace".renew_life_1, :"namespace".check_writable_1, :"namespace".end_holders_1,
    :"namespace".close_1, :"namespace".close_observed_1, :"namespace".retire_1, :"namespace".retire_observed_1,
    :"namespace".forget_1, :"namespace".forget_left_1,
    :"namespace".claim_consumer_1, :"namespace".checkpoint_1, :"namespace".move_consumer_1,
    :"namespace".change_filter_1, :"namespace".delete_consumer_1,
    :"namespace".open_processor_1, :"namespace".beat_processor_1, :"namespace".claim_partitions_1,
    :"namespace".checkpoint_partitions_1, :"namespace".pass_event_1, :"namespace".count_starts_1, :"namespace".leave_processor_1,
    :"namespace".take_retries_1, :"namespace".end_retries_1, :"namespace".change_parked_1
TO :"writers";

\if :{?consumers}
GRANT USAGE ON SCHEMA :"namespace" TO :"consumers";
GRANT SELECT ON ALL TABLES IN SCHEMA :"namespace" TO :"consumers";
GRANT SELECT ON ALL SEQUENCES IN SCHEMA :"namespace" TO :"consumers";
ALTER DEFAULT PRIVILEGES IN SCHEMA :"namespace" GRANT SELECT ON SEQUENCES TO :"consumers";
GRANT EXECUTE ON FUNCTION
    :"namespace".incarnation_1, :"namespace".members_1, :"namespace".eras_1, :"namespace".end_of_run_1, :"namespace".minimum_persisted_1,
    :"namespace".snapshot_mark_1, :"namespace".writer_lock_1, :"namespace".group_lock_1, :"namespace".holders_1,
    :"namespace".newest_claim_1, :"namespace".newest_row_1, :"namespace".holds_1, :"namespace".claim_consumer_1, :"namespace".checkpoint_1,
    :"namespace".move_consumer_1, :"namespace".change_filter_1, :"namespace".delete_consumer_1,
    :"namespace".renew_life_1,
    :"namespace".open_processor_1, :"namespace".beat_processor_1, :"namespace".claim_partitions_1,
    :"namespace".checkpoint_partitions_1, :"namespace".pass_event_1, :"namespace".count_starts_1, :"namespace".leave_processor_1,
    :"namespace".take_retries_1, :"namespace".end_retries_1, :"namespace".change_parked_1
TO :"consumers";
\endif

-- A transaction that stands in the way of closing a writer is ended after a while. A role may end those of its own sessions
-- and of roles that it is a member of; to end those of others it needs: GRANT pg_signal_backend TO :"writers".
