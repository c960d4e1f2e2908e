import GRDB
import Synchronization
import Tidemark

/// Whether the database file still has what SQLite has put into it.
///
/// A backup that is copied over the file, which stays the same one, is not noticed by SQLite: what a process has in
/// memory goes on being true for it, and new commits go on top of the other contents. But nothing except a checkpoint
/// writes to the file of a database in WAL mode. So one page is kept that each commit changes, that of the streams. It
/// must be the same for as long as nobody checkpoints; and when all of the `-wal` has been moved into the file, what the
/// page says must be what the database says.
///
/// Whoever reads looks too. Others may commit meanwhile, and move what the `-wal` has; but the database's index says so
/// before and after, and nothing is moved beyond what the oldest snapshot that is open, the reader's own, has seen. So
/// where all of it is in the file while a snapshot is open, the file is what the snapshot shows.
///
/// It costs nothing until the file was written to: the time of its last change is asked for with its name.
final class DatabaseContents: Sendable {
    private struct State {
        /// Of the file, when it was looked at last.
        var stamp: FileStamp?
        var seen: Seen?
        /// Whether the page could be read once: it cannot where something between SQLite and the file changes it.
        var isReadable = false
    }

    private struct Seen: Equatable {
        let checkpoint: CheckpointState
        let page: Int64
        let bytes: [UInt8]
    }

    private let store: String
    private let state = Mutex(State())

    /// - Parameter store: the path of the database.
    init(of store: String) { self.store = store }

    /// In a transaction that has the write lock, before anything is written; or in one that reads, after what it read.
    ///
    /// - Parameters:
    ///   - stamp: of the file, from after the transaction's begin; nil where it cannot be told.
    ///   - checkpoint: as the transaction found it.
    /// - Throws: ``TidemarkError/databaseReplaced(store:)``.
    func requireUnchanged(_ db: Database, _ stamp: FileStamp?, _ checkpoint: CheckpointState?) throws {
        guard let checkpoint, checkpoint.isQuiet else { return }
        let isSame = state.withLock { state in
            // Where the `-wal` has begun again the page is looked at as well: it counts for what is moved from there on.
            state.stamp == stamp && state.seen?.checkpoint.generation == checkpoint.generation
        }
        guard !isSame, let seen = look(db) else { return }
        if try isUnchanged(seen, stamp, db) { return }
        // It ends every process, so it is believed when it is found twice.
        guard look(db) == seen else { return }
        throw TidemarkError.databaseReplaced(store: store)
    }

    /// Whether the file is what it should be; then it is what the next look is compared with.
    private func isUnchanged(_ seen: Seen, _ stamp: FileStamp?, _ db: Database) throws -> Bool {
        let isOther = state.withLock { state in
            guard let before = state.seen else { return false }
            return seen.checkpoint.movedNothing(since: before.checkpoint) && before.page == seen.page
                && before.bytes != seen.bytes
        }
        if isOther { return false }
        let isRight = seen.checkpoint.isWhole ? try Self.holdsNewest(seen.bytes, db) : nil
        return state.withLock { state in
            if isRight == false, state.isReadable { return false }
            state.isReadable = state.isReadable || isRight == true
            state.stamp = stamp
            state.seen = seen
            return true
        }
    }

    /// Nil while somebody checkpoints, and where it cannot be told: the next transaction looks again.
    private func look(_ db: Database) -> Seen? {
        guard let page = rootPage(db), page > 1, let file = OpenedFile(db, .database), let before = file.checkpointState
        else {
            return nil
        }
        var bytes = [UInt8](repeating: 0, count: before.pageSize)
        let reading = bytes.withUnsafeMutableBytes { file.read(into: $0, at: (page - 1) * Int64(before.pageSize)) }
        // A page that is not in the file yet reads as one that is empty.
        guard reading != .failed, let after = file.checkpointState, before == after, after.isQuiet else { return nil }
        return Seen(checkpoint: after, page: page, bytes: bytes)
    }

    /// Of the table of streams. Where SQLite cannot read the schema any more it is where it was.
    private func rootPage(_ db: Database) -> Int64? {
        do {
            return try Query.first(
                db, "SELECT rootpage FROM sqlite_master WHERE type = 'table' AND name = 'tidemark_streams'"
            ) { $0.number(0) }
        } catch {
            return state.withLock { $0.seen?.page }
        }
    }

    /// Whether the page has the newest commit of each stream; nil where that cannot be told.
    ///
    /// In a row, the number of the newest commit is stored right behind the sequence
    /// (https://www.sqlite.org/fileformat2.html#record_format).
    private static func holdsNewest(_ page: [UInt8], _ db: Database) throws -> Bool? {
        let rows = try Query.all(db, "SELECT sequence, commit_number FROM tidemark_streams WHERE commit_number > 65535")
        {
            stored($0.number(0)) + stored($0.number(1))
        }
        if rows.isEmpty { return nil }
        switch page.first {
        case 0x0D:
            return rows.allSatisfy { row in
                page.indices.contains { start in page[start...].starts(with: row) }
            }
        // Several pages have the streams, if they are many: this one has none then.
        case 0x05: return nil
        // It is no page of a table: somebody writes into the file just now, say.
        default: return false
        }
    }

    /// A whole number as SQLite stores it, in as few bytes as it has sizes for.
    private static func stored(_ number: Int64) -> [UInt8] {
        if number == 0 || number == 1 { return [] }
        let count = [1, 2, 3, 4, 6].first { number >> ($0 * 8 - 1) == 0 } ?? 8
        return (0..<count).reversed().map { UInt8(truncatingIfNeeded: number >> ($0 * 8)) }
    }
}
