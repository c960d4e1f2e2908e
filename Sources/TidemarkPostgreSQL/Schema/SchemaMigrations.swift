/// How a database with the schema of an older version gets that of the newest.
///
/// Programs of the version before go on while a step is taken, and after it: a step adds tables, columns and functions with a new
/// number in their names, and takes nothing away that these programs use.
struct SchemaMigrations: Sendable {
    /// From the version before `version` to `version`.
    struct Step: Sendable {
        let version: Int
        /// Statements as in the files beside this one, which run in one transaction.
        let sql: String
    }

    /// The version that the files beside this one make.
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

    /// The oldest version that a step leads away from.
    var oldest: Int { newest - steps.count }

    /// Those of this library. The versions before the third were never released.
    static let current = SchemaMigrations(newest: 3, steps: [])
}
