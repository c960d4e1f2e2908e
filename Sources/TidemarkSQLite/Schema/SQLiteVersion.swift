import GRDBSQLite

/// The version of SQLite that this process runs with.
struct SQLiteVersion: Hashable, Sendable, CustomStringConvertible {
    /// As SQLite counts: 3051003 is 3.51.3.
    let number: Int

    static var current: SQLiteVersion { SQLiteVersion(number: Int(sqlite3_libversion_number())) }

    /// Whether it has the fault that damages a database where one connection begins the `-wal` again in the moment in
    /// which another one begins a checkpoint after a complete one (https://www.sqlite.org/wal.html#walresetbug). It came
    /// with WAL mode; 3.51.3 has it no more, nor have 3.50.7 and 3.44.6 and what follows them in their own lines.
    ///
    /// Processes that write through this package do not bring it about among themselves. A process that has the turn makes a
    /// checkpoint right after a commit of its own: what that commit wrote has not been moved yet, and the `-wal` begins again
    /// only after everything was. A process that writes without a turn, because it did not come in time, makes none. (The last
    /// writer that leaves, and the last process that closes the file, make one too, when no other one writes.) What other
    /// programs do at the same time cannot be ruled out.
    var hasWALResetFault: Bool {
        switch number {
        case ..<3_007_000, 3_044_006..<3_045_000, 3_050_007..<3_051_000, 3_051_003...: false
        default: true
        }
    }

    var description: String { "\(number / 1_000_000).\(number / 1000 % 1000).\(number % 1000)" }
}
