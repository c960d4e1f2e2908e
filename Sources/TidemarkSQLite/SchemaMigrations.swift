import GRDB
import Tidemark

/// How a file with the schema of an older version becomes one of the newest.
struct SchemaMigrations: Sendable {
    /// From the version before `version` to `version`.
    struct Step: Sendable {
        let version: Int
        let apply: @Sendable (Database) throws -> Void
    }

    /// The version that `schema.sql` makes.
    let newest: Int
    /// Ascending, without a gap, up to `newest`.
    let steps: [Step]

    init(newest: Int, steps: [Step]) {
        precondition(
            steps.map(\.version) == Array((newest - steps.count + 1)..<(newest + 1)),
            "the steps end at the newest version and leave none out")
        self.newest = newest
        self.steps = steps
    }

    /// Those of this library.
    static let current = SchemaMigrations(newest: 1, steps: [])

    /// Takes every step after the version found. In the caller's transaction, so that either all are taken or none.
    func migrate(_ db: Database, from found: Int, store: String) throws {
        let missing = steps.drop { $0.version <= found }
        guard missing.count == newest - found else {
            throw TidemarkError.notADatabase(
                store: store, problem: "its schema has version \(found), which cannot be migrated")
        }
        for step in missing {
            try step.apply(db)
        }
        try Query.run(db, "UPDATE tidemark_schema SET version = ?", newest)
    }
}
