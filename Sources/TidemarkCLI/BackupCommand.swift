import ArgumentParser
import Foundation
import Tidemark
import TidemarkSQLite

/// `tidemark backup`: a consistent copy of a database file.
struct BackupCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "backup",
        abstract: "Makes a consistent copy of a database file while everything runs, and checks it.",
        discussion: """
            The copy holds every event that was acknowledged before, of all streams, and the tables of your own. It is \
            one whole file, for its owner alone, and a database of its own: nobody is a member of its streams, and \
            whoever first joins it begins epochs that the other one has not had. It gets its name when it is whole and \
            was checked; until then FILE-draft is there, which a backup that was killed leaves behind.

            To restore one: end every process that uses the database, remove its -wal and -shm, and put the copy in its \
            place. A server is backed up with its own programs: pg_dump or pg_basebackup.

            EXAMPLE:
              tidemark backup --database events.db --to "events-$(date +%F).db"
            """)

    @Option(help: ArgumentHelp("The database: the path of a file, or sqlite:PATH.", valueName: "DB"))
    var database: String

    @Option(help: ArgumentHelp("The file that is made. It must not be there yet.", valueName: "FILE"))
    var to: String

    @Flag(help: "Show warnings of the library on standard error.")
    var verbose = false

    mutating func validate() throws { _ = try paths }

    private var paths: (database: String, copy: String) {
        get throws {
            guard case .sqlite(let path) = try DatabaseLocation(parsing: database) else {
                throw ValidationError(
                    "this copies files: back a server up with pg_dump --schema=tidemark or pg_basebackup")
            }
            guard case .sqlite(let copy) = try DatabaseLocation(parsing: to) else {
                throw ValidationError(
                    "--to takes the path of a file: to bring a stream to a server, use tidemark move")
            }
            return (path, copy)
        }
    }

    func run() async throws {
        let (path, copy) = try paths
        try await Interruption.cancels(verbose: verbose, readerGone: .goesOn) { output in
            let configuration = SQLiteConfiguration(createsDatabase: false, readOnly: true)
            let store = try await SQLiteEventStore.open(path: path, configuration: configuration)
            let backup = try await store.closed {
                do {
                    return try await store.backUp(to: copy)
                } catch is CancellationError {
                    throw InterruptedBackup(copy: copy)
                }
            }
            let streams = backup.streams.sorted { $0.key.rawValue < $1.key.rawValue }
            try await output.write(
                "copied \(store) to \(backup.path): \(backup.bytes) bytes, checked\n"
                    + streams.map { "  stream \($0.key): the sequence is at \($0.value)\n" }.joined())
        }
    }
}

/// Nobody is to take an interrupted backup for one.
struct InterruptedBackup: ProgramError {
    let copy: String

    var status: ExitStatus { .tryLater }
    var description: String { "interrupted: \(copy) was not made" }
}
