#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif
import Synchronization
import Tidemark

/// The `-wal` file beside a database, watched by a process that writes to it: whether it still is what SQLite takes it
/// for.
///
/// SQLite keeps in shared memory which pages the file has, and does not look again. Where somebody else cuts the file
/// off, a commit would go beyond its end, be acknowledged, and be gone after the next crash, because recovery ends at
/// the gap (https://www.sqlite.org/walformat.html). The file only grows until SQLite starts it again with another
/// header, or empties it, and the first commit after that writes a header.
///
/// No lock of SQLite's is on this file, so that it can be opened and closed beside it.
final class WriteAheadLog: Sendable {
    private struct Contents {
        var header: [UInt8]
        var size: Int64

        /// Whether it begins as every such file does that has a commit.
        var hasHeader: Bool {
            header.count == WriteAheadLog.headerBytes && header[0] == 0x37 && header[1] == 0x7F && header[2] == 0x06
                && header[3] & 0xFE == 0x82
        }
    }

    private static let headerBytes = 32

    private let store: String
    /// As this process left it.
    private let left = Mutex<Contents?>(nil)

    /// - Parameter store: the path of the database.
    init(ofDatabase store: String) {
        self.store = store
    }

    /// In a transaction that has the write lock, before anything is written.
    ///
    /// - Throws: ``TidemarkError/notADatabase(store:problem:)`` when the file is shorter than this process left it.
    func requireWhole() throws {
        guard let left = left.withLock({ $0 }), let now = contents() else { return }
        if now.header == left.header, now.size < left.size { throw cutOff }
    }

    /// After a commit that wrote something, and before it is acknowledged.
    ///
    /// - Throws: ``TidemarkError/notADatabase(store:problem:)`` when the file has no header.
    func requireCommitted() throws {
        guard let now = contents() else { return }
        // An empty one: SQLite had emptied it, and what was changed was taken back in a savepoint.
        guard now.size == 0 || now.hasHeader else { throw cutOff }
        left.withLock { $0 = now }
    }

    private var cutOff: TidemarkError {
        .notADatabase(
            store: store,
            problem: "its -wal file was cut off while it was open: end every process that uses it, and check what is "
                + "left of the newest commits")
    }

    /// Nil when it cannot be read.
    private func contents() -> Contents? {
        let descriptor = retryingInterrupted { open(store + "-wal", O_RDONLY | O_CLOEXEC) }
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var information = stat()
        guard fstat(descriptor, &information) == 0 else { return nil }
        var header = [UInt8](repeating: 0, count: Self.headerBytes)
        let count = pread(descriptor, &header, header.count, 0)
        return Contents(header: Array(header.prefix(max(0, count))), size: Int64(information.st_size))
    }
}
