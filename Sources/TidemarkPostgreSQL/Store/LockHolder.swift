import Tidemark

/// A transaction that shares a lock of a writer.
struct LockHolder: Sendable, CustomStringConvertible {
    let instance: String
    let processID: Int64?
    let role: String?
    let application: String?
    let state: String?
    let ageMilliseconds: Int64?
    let prepared: String?

    /// Takes the stream, and an instance, or null for all members.
    static func query(_ namespace: PostgresNamespace) -> String {
        """
        SELECT holding_for, process_id, role, application, state, age_ms, prepared
        FROM \(namespace.function("holders_1"))($1, $2) LIMIT 20
        """
    }

    /// Those of all members that stand in the way of somebody, or soon would: with the columns of a holder, whether it has
    /// the lock of all the writer's transactions and that of its groups, and how many wait for it.
    static func blockers(_ namespace: PostgresNamespace, _ stream: StreamName) -> PostgresStatement {
        let name = namespace.quoted
        return PostgresStatement(
            """
            WITH locks AS MATERIALIZED (
                SELECT l.pid, l.virtualtransaction, l.granted, l.classid::bigint << 32 | l.objid::bigint AS key
                FROM pg_catalog.pg_locks l
                WHERE l.locktype = 'advisory' AND l.objsubid = 1
                    AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())
            ), held AS (
                SELECT w.instance, l.pid, l.virtualtransaction, bool_or(l.key = w.all_key) AS closing,
                    bool_or(l.key = w.group_key) AS settling,
                    sum((SELECT count(*) FROM locks x WHERE x.key = l.key AND NOT x.granted)) AS waiting
                FROM (
                    SELECT i.instance, \(name).writer_lock_1($1, i.instance) AS all_key,
                        \(name).group_lock_1($1, i.instance) AS group_key
                    FROM \(name).instances i JOIN \(name).streams s ON s.stream = i.stream
                    WHERE s.name = $1 AND i.is_member
                ) w
                JOIN locks l ON l.granted AND l.key IN (w.all_key, w.group_key)
                GROUP BY w.instance, l.pid, l.virtualtransaction
            )
            SELECT * FROM (
                SELECT h.instance, h.pid, coalesce(a.usename::text, p.owner::text), a.application_name, a.state,
                    (extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, p.prepared)) * 1000)::bigint AS age,
                    p.gid, h.closing, h.settling, h.waiting::bigint AS waiting
                FROM held h
                LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = h.pid
                LEFT JOIN pg_catalog.pg_locks t ON h.pid IS NULL AND t.pid IS NULL AND t.locktype = 'transactionid'
                    AND t.virtualtransaction = h.virtualtransaction
                LEFT JOIN pg_catalog.pg_prepared_xacts p ON p.transaction = t.transactionid
            ) b
            WHERE b.waiting > 0 OR b.gid IS NOT NULL OR b.age >= 1000
            ORDER BY b.age DESC NULLS LAST LIMIT 20
            """, [.text(stream.rawValue)])
    }

    /// The oldest first.
    static func all(_ rows: PostgresRows) throws -> [LockHolder] {
        try (0..<rows.count).map { row in
            LockHolder(
                instance: try rows.text(row, 0), processID: try rows.int64IfAny(row, 1),
                role: try rows.textIfAny(row, 2),
                application: try rows.textIfAny(row, 3), state: try rows.textIfAny(row, 4),
                ageMilliseconds: try rows.int64IfAny(row, 5), prepared: try rows.textIfAny(row, 6))
        }
    }

    /// The name of the holder, without what it holds and for how long.
    var name: String {
        if let prepared {
            return
                "the prepared transaction \"\(prepared)\" of role \(role ?? "?"), which only COMMIT PREPARED or ROLLBACK "
                + "PREPARED ends"
        }
        let application = application.flatMap { $0.isEmpty ? nil : " (\($0))" } ?? ""
        return "backend \(processID.map { "\($0)" } ?? "?") of role \(role ?? "?")\(application), "
            + (state ?? "in a state that this role may not see")
    }

    var description: String {
        "\(name), with a transaction of instance \(instance)" + (ageMilliseconds.map { " for \($0) ms" } ?? "")
    }
}
