import Tidemark

/// A transaction that keeps others from a table: it has a lock that excludes those who write, or waits for one, which they wait
/// behind then.
struct TableLock: CustomStringConvertible {
    private let holder: LockHolder
    let tables: String
    let excludesReaders: Bool
    let isGranted: Bool
    /// The one that it waits for itself.
    private let blocker: LockHolder?
    let waiting: Int64

    /// It looks at no table of its own, so that it never waits for one.
    static func all(_ namespace: PostgresNamespace) -> PostgresStatement {
        PostgresStatement(
            """
            WITH locks AS MATERIALIZED (
                SELECT l.pid, l.virtualtransaction, l.mode, l.granted, l.relation, c.relname
                FROM pg_catalog.pg_locks l
                JOIN pg_catalog.pg_class c ON c.oid = l.relation AND c.relkind = 'r'
                JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname = $1::text
                WHERE l.locktype = 'relation'
                    AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())
            ), strong AS (
                SELECT l.pid, l.virtualtransaction, bool_or(l.mode = 'AccessExclusiveLock') AS excludes_readers,
                    bool_and(l.granted) AS is_granted, string_agg(DISTINCT l.relname, ', ' ORDER BY l.relname) AS tables,
                    (SELECT count(DISTINCT w.pid) FROM locks w WHERE NOT w.granted AND w.pid <> l.pid
                        AND w.relation = ANY (array_agg(l.relation))) AS waiting
                FROM locks l
                WHERE l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
                    AND l.pid IS DISTINCT FROM pg_backend_pid()
                GROUP BY l.pid, l.virtualtransaction
            )
            SELECT s.pid, coalesce(a.usename::text, p.owner::text), a.application_name, a.state,
                (extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, p.prepared)) * 1000)::bigint AS age, p.gid,
                s.tables, s.excludes_readers, s.is_granted, s.waiting,
                b.pid, b.usename::text, b.application_name, b.state
            FROM strong s
            LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = s.pid
            LEFT JOIN pg_catalog.pg_locks t ON s.pid IS NULL AND t.pid IS NULL AND t.locktype = 'transactionid'
                AND t.virtualtransaction = s.virtualtransaction
            LEFT JOIN pg_catalog.pg_prepared_xacts p ON p.transaction = t.transactionid
            LEFT JOIN LATERAL (
                SELECT o.pid, o.usename, o.application_name, o.state
                FROM unnest(CASE WHEN s.is_granted THEN '{}' ELSE pg_blocking_pids(s.pid) END) u (pid)
                JOIN pg_catalog.pg_stat_activity o ON o.pid = u.pid ORDER BY o.xact_start LIMIT 1
            ) b ON true
            ORDER BY age DESC NULLS LAST LIMIT 20
            """, [.text(namespace.rawValue)])
    }

    /// The oldest first.
    static func all(_ rows: PostgresRows) throws -> [TableLock] {
        try (0..<rows.count).map { row in
            TableLock(
                holder: LockHolder(
                    instance: "", processID: try rows.int64IfAny(row, 0), role: try rows.textIfAny(row, 1),
                    application: try rows.textIfAny(row, 2), state: try rows.textIfAny(row, 3),
                    ageMilliseconds: try rows.int64IfAny(row, 4), prepared: try rows.textIfAny(row, 5)),
                tables: try rows.text(row, 6), excludesReaders: try rows.bool(row, 7),
                isGranted: try rows.bool(row, 8),
                blocker: try rows.int64IfAny(row, 10).map { processID in
                    LockHolder(
                        instance: "", processID: processID, role: try rows.textIfAny(row, 11),
                        application: try rows.textIfAny(row, 12), state: try rows.textIfAny(row, 13),
                        ageMilliseconds: nil, prepared: nil)
                }, waiting: try rows.int64(row, 9))
        }
    }

    /// For a status: those that others wait for, that were prepared, or that have been open for a second.
    var asBlocker: StreamStatus.Blocker? {
        guard waiting > 0 || holder.prepared != nil || holder.ageMilliseconds ?? 0 >= 1000 else { return nil }
        return StreamStatus.Blocker(
            instance: nil, holdsUp: excludesReaders ? [.reading, .writing] : [.writing], holder: name,
            processID: holder.processID, prepared: holder.prepared, milliseconds: holder.ageMilliseconds,
            waiting: Int(waiting))
    }

    private var name: String {
        let blocker = blocker.map { ", which waits for \($0.name), itself" } ?? ""
        return "\(holder.name)\(blocker)"
    }

    var description: String {
        let age = holder.ageMilliseconds.map { ", for \($0) ms" } ?? ""
        return "\(name)\(age) (table \(tables)),"
    }
}
