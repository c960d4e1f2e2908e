import GRDB
import Tidemark

/// The tables of Tidemark in a database: whether they are there, and in which version.
struct Schema: Sendable {
    /// `schema.sql`, the one copy, as it was when the library was built.
    static let sql = String(decoding: PackageResources.schema_sql, as: UTF8.self)

    let store: String
    let migrations: SchemaMigrations

    /// The version of the schema in the file; nil when it has none.
    ///
    /// - Throws: ``TidemarkError/schemaTooNew(store:found:supported:)``, ``TidemarkError/notADatabase(store:problem:)``.
    func version(in db: Database) throws -> Int? {
        let exists = try Query.first(
            db, "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'tidemark_schema'"
        ) { _ in true }
        guard exists == true else { return nil }
        guard let found = try Query.first(db, "SELECT version FROM tidemark_schema", row: { Int($0.number(0)) }) else {
            throw TidemarkError.notADatabase(store: store, problem: "the table tidemark_schema is empty")
        }
        if found > migrations.newest {
            throw TidemarkError.schemaTooNew(store: store, found: found, supported: migrations.newest)
        }
        return found
    }

    /// Refuses, before anything is changed, a file that cannot be used as it is.
    func check(_ db: Database, creates: Bool, readOnly: Bool) throws {
        let found = try version(in: db)
        if found == nil, try Query.first(db, "SELECT 1 FROM sqlite_master LIMIT 1", row: { _ in true }) == nil {
            try WriteAheadLog(ofDatabase: store).requireRead(db)
        }
        if found == nil, readOnly || !creates {
            throw TidemarkError.storeUnavailable(
                store: store, problem: "it has no schema of Tidemark yet: no writer has been here")
        }
        if let found, found < migrations.newest, readOnly {
            throw TidemarkError.storeUnavailable(
                store: store, problem: "its schema has the older version \(found): open it for writing once")
        }
    }

    /// To be asked in each transaction that writes: somebody may have migrated the file since it was opened, or put an
    /// older one back.
    ///
    /// - Throws: ``TidemarkError/schemaTooNew(store:found:supported:)``,
    ///   ``TidemarkError/notADatabase(store:problem:)``.
    static func require(version found: Int64, in store: String) throws {
        let newest = SchemaMigrations.current.newest
        if found == newest { return }
        if found > newest {
            throw TidemarkError.schemaTooNew(store: store, found: Int(clamping: found), supported: newest)
        }
        throw TidemarkError.notADatabase(
            store: store,
            problem: "its schema has version \(found) now, and had \(newest) when it was opened: restart every process "
                + "that uses it")
    }

    /// The same, where no other statement says the version.
    static func requireNewest(_ db: Database, in store: String) throws {
        try require(version: Query.first(db, "SELECT version FROM tidemark_schema") { $0.number(0) } ?? 0, in: store)
    }

    /// Makes the schema or brings it up to date, in one transaction. Does nothing when it is.
    func prepare(_ db: Database) throws {
        if try version(in: db) == migrations.newest { return }
        try db.inTransaction(.immediate) {
            switch try version(in: db) {
            case nil: try db.execute(sql: Self.sql)
            case .some(let found): try migrations.migrate(db, from: found, store: store)
            }
            return .commit
        }
    }
}
