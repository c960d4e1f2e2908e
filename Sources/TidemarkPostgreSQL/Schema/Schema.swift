import Tidemark

/// The tables and functions of Tidemark in a database: whether they are there, and in which version.
struct Schema: Sendable {
    /// The version that this library makes and works with.
    static let version = 3

    let store: String
    let namespace: PostgresNamespace

    /// What makes them, in the order in which it has to be done.
    var statements: [String] { Self.scripts.flatMap { SQLScript.statements(filled($0)) } }

    private static let scripts = [
        PackageResources.schema_sql, PackageResources.functions_writing_sql, PackageResources.functions_outcomes_sql,
        PackageResources.functions_keys_sql, PackageResources.functions_membership_sql,
        PackageResources.functions_processing_sql,
        PackageResources.functions_reading_sql, PackageResources.functions_pruning_sql,
        // The last one: at its end nobody but the owner may call any of them.
        PackageResources.functions_moving_sql,
    ].map { String(decoding: $0, as: UTF8.self) }

    /// The names of what it makes.
    static let tables = names(/CREATE (?:UNLOGGED )?TABLE @namespace@\.(?<name>\w+)/)
    static let functions = names(/CREATE FUNCTION @namespace@\.(?<name>\w+)/)

    private static func names(_ pattern: Regex<(Substring, name: Substring)>) -> Set<String> {
        Set(scripts.flatMap { $0.matches(of: pattern).map { String($0.output.name) } })
    }

    private func filled(_ text: String) -> String {
        text.replacing("@namespace@", with: namespace.quoted).replacing("@namespace_name@", with: namespace.rawValue)
    }

    /// Makes them where they are missing and may be made, and refuses a database that cannot be used.
    ///
    /// - Throws: ``TidemarkError``, ``PostgresError``.
    func prepare(_ session: PostgresSession, creates: Bool) throws {
        let found = try Found(session, namespace)
        try requireUsable(found)
        if found.hasSchema { return try requireVersion(session, found) }
        guard creates else {
            throw TidemarkError.storeUnavailable(
                store: store, problem: "it has no schema of Tidemark yet: no writer has been here")
        }
        try make(session, after: found)
    }

    /// Whether the database can be used, and the schema is missing only because nobody has made it.
    func mayComeYet(_ session: PostgresSession) throws -> Bool {
        let found = try Found(session, namespace)
        return !found.isInRecovery && !found.hasSchema && (!found.exists || found.isEmpty)
    }

    private func make(_ session: PostgresSession, after found: Found) throws {
        do {
            try session.transaction { session in
                // One process makes it, and the others find it.
                _ = try session.query(
                    "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", [.text("\(namespace) schema")])
                let now = try Found(session, namespace)
                if now.hasSchema { return }
                if !now.isEmpty {
                    throw TidemarkError.notADatabase(
                        store: store,
                        problem:
                            "the namespace \(namespace) holds something else: choose another one for Tidemark, or drop it"
                    )
                }
                let statements = statements.dropFirst(now.exists ? 1 : 0)
                _ = try session.pipeline(statements.map { PostgresStatement($0) })
            }
        } catch PostgresError.refused(_, let message) where message.sqlState == "42501" {
            throw TidemarkError.storeUnavailable(
                store: store,
                problem: "role \(found.role) may not make the tables (\(message.message)): GRANT CREATE ON DATABASE "
                    + "\"\(found.database)\" TO \"\(found.role)\", or let its owner open it once")
        }
    }

    private func requireUsable(_ found: Found) throws {
        if found.isInRecovery { throw TidemarkError.notPrimary(store: store) }
        guard found.encoding == "UTF8" else {
            throw TidemarkError.notADatabase(
                store: store,
                problem: "its encoding is \(found.encoding), and events are UTF-8: make one with ENCODING 'UTF8'")
        }
        guard found.exists, !found.mayUse else { return }
        throw TidemarkError.storeUnavailable(
            store: store,
            problem: "role \(found.role) may not use the namespace \(namespace): GRANT USAGE ON SCHEMA "
                + "\(namespace.quoted) TO \"\(found.role)\"")
    }

    private func requireVersion(_ session: PostgresSession, _ found: Found) throws {
        let rows: PostgresRows
        do {
            rows = try session.query("SELECT version FROM \(namespace.quoted).schema_version")
        } catch PostgresError.refused(_, let message) where message.sqlState == "42501" {
            throw TidemarkError.storeUnavailable(
                store: store,
                problem: "role \(found.role) may not read its tables: GRANT SELECT ON ALL TABLES IN SCHEMA "
                    + "\(namespace.quoted) TO \"\(found.role)\", and what else writers or readers need")
        }
        guard rows.count == 1 else {
            throw TidemarkError.notADatabase(store: store, problem: "the table schema_version of \(namespace) is empty")
        }
        let version = Int(try rows.int64(0, 0))
        if version > Self.version {
            throw TidemarkError.schemaTooNew(store: store, found: version, supported: Self.version)
        }
        guard version == Self.version else {
            throw TidemarkError.notADatabase(store: store, problem: "its schema has the unknown version \(version)")
        }
    }
}

/// What one look shows of a database.
private struct Found {
    let isInRecovery: Bool
    let encoding: String
    let role: String
    let database: String
    /// Whether there is a namespace of the name, nothing in it, and the schema in it.
    let exists: Bool
    let isEmpty: Bool
    let hasSchema: Bool
    let mayUse: Bool

    init(_ session: PostgresSession, _ namespace: PostgresNamespace) throws {
        let rows = try session.query(
            """
            SELECT pg_is_in_recovery(), current_setting('server_encoding'), current_user::text, current_database()::text,
                n.oid IS NOT NULL,
                NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid),
                EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid AND c.relname = 'schema_version'),
                coalesce(has_schema_privilege(n.oid, 'USAGE'), false)
            FROM (SELECT) one LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = $1
            """, [.text(namespace.rawValue)])
        isInRecovery = try rows.bool(0, 0)
        encoding = try rows.text(0, 1)
        role = try rows.text(0, 2)
        database = try rows.text(0, 3)
        exists = try rows.bool(0, 4)
        isEmpty = try rows.bool(0, 5)
        hasSchema = try rows.bool(0, 6)
        mayUse = try rows.bool(0, 7)
    }
}
