import Tidemark

/// The tables and functions of Tidemark in a database: whether they are there, and in which version.
struct Schema: Sendable {
    /// What a look at a database has shown that can be used.
    enum State: Hashable, Sendable {
        case ready
        /// It has the schema of an older version, and may be migrated.
        case older
    }

    let store: String
    let namespace: PostgresNamespace
    let migrations: SchemaMigrations

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

    /// All that it makes, before it has a namespace.
    static var text: String { scripts.joined(separator: "\n") }

    /// The names of what it makes.
    static let tables = names(/CREATE (?:UNLOGGED )?TABLE @namespace@\.(?<name>\w+)/)
    static let functions = names(/CREATE FUNCTION @namespace@\.(?<name>\w+)/)

    /// Those with which somebody prunes or moves a stream: `rights.sql` gives them to nobody.
    static let ownersFunctions: Set = [
        "begin_prune_1", "move_away_1", "move_back_1", "begin_arrival_1", "cancel_arrival_1",
    ]

    private static func names(_ pattern: Regex<(Substring, name: Substring)>) -> Set<String> {
        Set(scripts.flatMap { $0.matches(of: pattern).map { String($0.output.name) } })
    }

    private func filled(_ text: String) -> String {
        text.replacing("@namespace@", with: namespace.quoted).replacing("@namespace_name@", with: namespace.rawValue)
    }

    /// Makes them where they are missing and may be made, and refuses a database that cannot be used.
    ///
    /// - Throws: ``TidemarkError``, ``PostgresError``.
    func prepare(_ session: PostgresSession, creates: Bool) throws -> State {
        let found = try Found(session, namespace)
        try requireUsable(found)
        guard found.hasSchema else {
            guard creates else {
                throw TidemarkError.storeUnavailable(
                    store: store, problem: "it has no schema of Tidemark yet: no writer has been here")
            }
            try make(session, after: found)
            return .ready
        }
        let version = try version(session, found)
        guard version == migrations.newest else {
            guard creates else {
                throw TidemarkError.storeUnavailable(
                    store: store,
                    problem:
                        "its schema has the older version \(version), and this program needs \(migrations.newest): "
                        + "start a writer of this version as the owner of the tables, which migrates it")
            }
            return .older
        }
        try requireWhole(session)
        return .ready
    }

    /// Takes every step that a database of an older version lacks, in one transaction.
    ///
    /// Programs that run use the functions of their own version meanwhile, and after it.
    ///
    /// - Parameter lockLimit: for how long a step may wait for a table. Everybody else waits behind it for as long.
    /// - Throws: ``TidemarkError``, ``PostgresError``.
    func migrate(_ session: PostgresSession, lockLimit: Duration) throws {
        let found = try Found(session, namespace)
        do {
            try session.transaction { session in
                try lock(session)
                let version = try version(session, found)
                if version == migrations.newest { return }
                _ = try session.query("SET LOCAL lock_timeout = \(max(1, Int64(lockLimit / .milliseconds(1))))")
                for step in migrations.steps where step.version > version {
                    _ = try session.pipeline(SQLScript.statements(filled(step.sql)).map { PostgresStatement($0) })
                }
                _ = try session.query(
                    "UPDATE \(namespace.quoted).schema_version SET version = $1", [.int32(Int32(migrations.newest))])
                // As at the end of the scripts: a function that is new may be called by its owner alone, until it is granted.
                _ = try session.query("REVOKE ALL ON ALL FUNCTIONS IN SCHEMA \(namespace.quoted) FROM PUBLIC")
            }
        } catch PostgresError.refused(_, let message) where message.sqlState == "42501" {
            throw TidemarkError.storeUnavailable(
                store: store,
                problem:
                    "its schema has an older version, and role \(found.role) may not migrate it (\(message.message)): "
                    + "start a writer as the owner of the tables once, and run rights.sql again")
        }
        try requireWhole(session)
    }

    /// One process makes the tables, or changes them, and the others find that done.
    private func lock(_ session: PostgresSession) throws {
        _ = try session.query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", [.text("\(namespace) schema")])
    }

    /// Whether the schema is there by now; where it is not, whether the database can be used, and nobody has made it yet.
    func outlook(_ session: PostgresSession) throws -> StoreOutlook {
        let found = try Found(session, namespace)
        if found.hasSchema { return .isThere }
        return !found.isInRecovery && (!found.exists || found.isEmpty) ? .mayCome : .needsSomebody
    }

    private func make(_ session: PostgresSession, after found: Found) throws {
        do {
            try session.transaction { session in
                try lock(session)
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

    /// The version that is there, from which the newest can be reached.
    private func version(_ session: PostgresSession, _ found: Found) throws -> Int {
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
        if version > migrations.newest {
            throw TidemarkError.schemaTooNew(store: store, found: version, supported: migrations.newest)
        }
        guard version >= migrations.oldest else {
            throw TidemarkError.notADatabase(store: store, problem: "its schema has the unknown version \(version)")
        }
        return version
    }

    /// Nothing makes a part of it alone; but somebody may have dropped another part, or restored not all of a dump.
    private func requireWhole(_ session: PostgresSession) throws {
        let rows = try session.query(
            """
            SELECT coalesce(string_agg(m.name, ', ' ORDER BY m.name), '')
            FROM (
                (SELECT 'table ' || t.name AS name FROM unnest($2::text[]) t (name)
                EXCEPT SELECT 'table ' || c.relname FROM pg_catalog.pg_class c
                    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1)
                UNION ALL
                (SELECT 'function ' || f.name FROM unnest($3::text[]) f (name)
                EXCEPT SELECT 'function ' || p.proname FROM pg_catalog.pg_proc p
                    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = $1)
                LIMIT 5
            ) m
            """,
            [.text(namespace.rawValue), .texts(Self.tables.sorted()), .texts(Self.functions.sorted())])
        let missing = try rows.text(0, 0)
        if missing.isEmpty { return }
        throw TidemarkError.notADatabase(
            store: store,
            problem:
                "its schema is not whole, for it has no \(missing): restore what is missing, or choose another namespace"
        )
    }
}

/// What one look shows of a database.
private struct Found {
    let isInRecovery: Bool
    let encoding: String
    let role: String
    let database: String
    /// Whether there is a namespace of the name, no table and no function in it (of all functions in it the rights are taken
    /// from others), and the schema in it.
    let exists: Bool
    let isEmpty: Bool
    let hasSchema: Bool
    let mayUse: Bool

    init(_ session: PostgresSession, _ namespace: PostgresNamespace) throws {
        let rows = try session.query(
            """
            SELECT pg_is_in_recovery(), current_setting('server_encoding'), current_user::text, current_database()::text,
                n.oid IS NOT NULL,
                NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid)
                    AND NOT EXISTS (SELECT FROM pg_catalog.pg_proc p WHERE p.pronamespace = n.oid),
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

/// The statements of a file, one by one, because a server takes no parameters, and libpq no pipeline, for more than one.
enum SQLScript {
    /// A statement ends with a semicolon at the end of a line, outside of `$$`. Lines of comment between them are dropped.
    static func statements(_ text: String) -> [String] {
        var statements: [String] = []
        var statement: [Substring] = []
        var isQuoted = false
        for line in text.split(separator: "\n") {
            if !isQuoted, line.drop(while: { $0 == " " }).hasPrefix("--") { continue }
            statement.append(line)
            if line.ranges(of: "$$").count % 2 == 1 { isQuoted.toggle() }
            if !isQuoted, line.hasSuffix(";") {
                statements.append(statement.joined(separator: "\n"))
                statement = []
            }
        }
        return statements
    }
}
