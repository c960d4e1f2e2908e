import Synchronization

/// The files of a database that is open: the database, its `-wal`, and its `-shm`.
///
/// While a connection is open nobody of SQLite's takes one of them away. Somebody else can: who copies a backup over the
/// database removes the other two, and a process that has them open still would go on with files that have no name any
/// more. What it acknowledged would be gone with it, and others would be given the same IDs
/// (https://www.sqlite.org/howtocorrupt.html#_unlinking_or_renaming_a_database_file_while_in_use).
final class OpenFiles: Sendable {
    /// As long as it is open, no other file can be mistaken for it.
    let database: FileIdentity
    private let path: String
    private let logPath: String
    private let indexPath: String
    private let beside: Mutex<Beside>
    /// Where the database was opened as a file that does not change.
    private let still: StillFile?

    private struct Beside {
        /// Nil until there is one: a store that only reads need not have them.
        var log: FileIdentity?
        var index: FileIdentity?
        var areClosed = false
    }

    /// - Parameters:
    ///   - path: of the database, which is open and has been read.
    ///   - still: how it was before, where it was opened as a file that does not change.
    init(_ path: String, database: FileIdentity, still: StillFile? = nil) {
        self.still = still
        self.path = path
        logPath = path + "-wal"
        indexPath = path + "-shm"
        self.database = database
        beside = Mutex(Beside(log: FileIdentity(path: logPath), index: FileIdentity(path: indexPath)))
    }

    /// Nothing is open any more: whoever closes a database last takes the other two away.
    func close() { beside.withLock { $0.areClosed = true } }

    /// Whether a database that was opened as a file that does not change has changed all the same.
    var hasMoved: Bool { still.map { !$0.isStill } ?? false }

    /// Whether each of them still has its name; true when they are closed.
    var areInPlace: Bool { areInPlace(FileIdentity(path: path)) }

    /// The same, and when the database was written to last.
    var look: (areInPlace: Bool, stamp: FileStamp?) {
        let found = FileStamp.of(path)
        return (areInPlace(found?.identity), found?.stamp)
    }

    private func areInPlace(_ database: FileIdentity?) -> Bool {
        let (log, index) = (FileIdentity(path: logPath), FileIdentity(path: indexPath))
        return beside.withLock { beside in
            if beside.areClosed { return true }
            beside.log = beside.log ?? log
            beside.index = beside.index ?? index
            return database == self.database && beside.log == log && beside.index == index
        }
    }
}
