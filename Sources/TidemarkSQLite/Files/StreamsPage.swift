import GRDB
import GRDBSQLite
import Tidemark

/// The page of the table of streams as it is in a file, read past SQLite.
///
/// A page of a table has the number of its rows at 3 and where each of them is from 8 on; a row has its length, its row
/// ID, how its values are stored, and the values (https://www.sqlite.org/fileformat2.html#b_tree_pages and
/// #record_format).
struct StreamsPage {
    /// By the row of the stream, its values: whole numbers as they are, of texts how long they are, and nil for NULL.
    let streams: [Int64: [Int64?]]

    /// Nil where it cannot be told: several pages have the streams, or it is no page of a table.
    init?(_ bytes: [UInt8]) {
        guard bytes.count >= 512, bytes[0] == 0x0D else { return nil }
        let count = Int(bytes[3]) << 8 | Int(bytes[4])
        guard 8 + 2 * count <= bytes.count else { return nil }
        var streams: [Int64: [Int64?]] = [:]
        for row in 0..<count {
            var reader = Reader(bytes: bytes, place: Int(bytes[8 + 2 * row]) << 8 | Int(bytes[9 + 2 * row]))
            guard let length = reader.varint(), let stream = reader.varint() else { return nil }
            guard let values = reader.numbers(within: length) else { return nil }
            streams[stream] = values
        }
        self.streams = streams
    }

    /// The page that has them; nil where the table is not there.
    static func number(_ db: Database) throws -> Int64? {
        try Query.first(
            db, "SELECT rootpage FROM sqlite_master WHERE type = 'table' AND name = 'tidemark_streams'"
        ) { $0.number(0) }
    }

    /// Where in a row the columns are: not the same in a file that was migrated and in one that was made so.
    struct Columns {
        private let places: [String: Int]

        init(_ db: Database) throws {
            let columns = try Query.all(db, "SELECT name, cid FROM pragma_table_info('tidemark_streams')") {
                ($0.text(0), Int($0.number(1)))
            }
            places = Dictionary(columns) { first, _ in first }
        }

        /// Nil where it is NULL, or the row is of a version of the schema that did not have it.
        func value(_ name: String, of row: [Int64?]) -> Int64? {
            guard let place = places[name], row.indices.contains(place) else { return nil }
            return row[place]
        }
    }

    private struct Reader {
        let bytes: [UInt8]
        var place: Int

        /// Up to nine bytes, seven bits in each but the ninth.
        mutating func varint() -> Int64? {
            var value: UInt64 = 0
            for index in 0..<9 {
                guard bytes.indices.contains(place) else { return nil }
                let byte = bytes[place]
                place += 1
                if index == 8 { return Int64(bitPattern: value << 8 | UInt64(byte)) }
                value = value << 7 | UInt64(byte & 0x7F)
                if byte < 0x80 { break }
            }
            return Int64(bitPattern: value)
        }

        /// Nil where the row is not whole on the page.
        mutating func numbers(within length: Int64) -> [Int64?]? {
            let start = place
            guard (1...Int64(bytes.count - start)).contains(length) else { return nil }
            let end = start + Int(length)
            guard let header = varint(), (1...length).contains(header) else { return nil }
            var kinds: [Int64] = []
            while place < start + Int(header) {
                guard let kind = varint() else { return nil }
                kinds.append(kind)
            }
            var values: [Int64?] = []
            for kind in kinds {
                let size: Int64 =
                    switch kind {
                    case 1...4: kind
                    case 5: 6
                    case 6, 7: 8
                    case 12...: (kind - 12) / 2
                    default: 0
                    }
                guard size <= end - place else { return nil }
                values.append(number(kind, size: Int(size)))
                place += Int(size)
            }
            return values
        }

        private func number(_ kind: Int64, size: Int) -> Int64? {
            switch kind {
            case 1...6:
                let bits = bytes[place..<place + size].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
                let unused = UInt64(64 - 8 * size)
                return Int64(bitPattern: bits << unused) >> Int64(unused)
            case 8: return 0
            case 9: return 1
            case 12...: return kind
            default: return nil
            }
        }
    }
}

/// Whether a `-wal` is that of its database, to be asked when both are opened.
///
/// A backup may have been copied over a database whose old `-wal` is there still. SQLite reads both as one, and nobody
/// can tell any more which events are of which. But when a `-wal` begins, all that the one before had is in the file. So
/// the file has the streams as they were just before the first transaction in the `-wal` that changed them; or, where a
/// part of the `-wal` was moved into the file, as one of those in the `-wal` has left them. What they were before is in
/// the row that a transaction changes, as the number of the commit before. From a transaction on that has written all pages
/// the file does not matter.
struct LogOrigin {
    /// Half a gigabyte of pages of the usual size; more is not looked through. A `-wal` has 16 MiB where no reader keeps
    /// an old state.
    private static let mostFrames: UInt32 = 131_072

    private let columns: StreamsPage.Columns

    /// In a transaction that reads, of a connection that only reads: any other would move the one into the other when it
    /// is closed.
    ///
    /// - Returns: whether it is; true as well where it cannot be told, as where it has begun again meanwhile: others have
    ///   both open then, and look at them.
    static func isRight(_ db: Database) throws -> Bool {
        // It is believed when it is found twice: somebody may write the page into the file just now.
        if try looksRight(db) { return true }
        return try looksRight(db)
    }

    private static func looksRight(_ db: Database) throws -> Bool {
        guard let database = OpenedFile(db, .database), let file = OpenedFile(db, .log),
            let state = database.checkpointState, (1...mostFrames).contains(state.frames),
            let number = try StreamsPage.number(db)
        else { return true }
        var bytes = [UInt8](repeating: 0, count: state.pageSize)
        func page(in file: OpenedFile, at offset: Int64) -> StreamsPage? {
            let reading = bytes.withUnsafeMutableBytes { file.read(into: $0, at: offset) }
            return reading == .whole ? StreamsPage(bytes) : nil
        }
        // Not there yet, of several pages, or of one that has not room enough: it cannot be told. Anything else is no page
        // of this table.
        var cannotBeTold: Bool { [0x00, 0x05, 0x0D].contains(bytes[0]) }
        let inFile = page(in: database, at: (number - 1) * Int64(state.pageSize))
        if inFile == nil, cannotBeTold { return true }
        // Where nothing went wrong it is the newest of those that were moved.
        for frame in stride(from: Int64(min(state.moved, state.frames)) - 1, through: 0, by: -1) {
            guard let header = FrameHeader(file, at: start(of: frame, state)) else { return true }
            guard header.page == number else { continue }
            let moved = page(in: file, at: start(of: frame, state) + 24)
            if moved == nil ? cannotBeTold : inFile?.streams == moved?.streams { return true }
            break
        }
        let origin = LogOrigin(columns: try StreamsPage.Columns(db))
        var isFirst = true
        // What makes the schema writes every page as well, of a database that has no stream yet.
        var hasStreams = false
        var transaction = Int64(0)
        for frame in 0..<Int64(state.frames) {
            guard let header = FrameHeader(file, at: start(of: frame, state)) else { return true }
            if header.page == number {
                if let inLog = page(in: file, at: start(of: frame, state) + 24) {
                    if inFile?.streams == inLog.streams || (isFirst && origin.isBefore(inFile, inLog)) { return true }
                    hasStreams = !inLog.streams.isEmpty
                } else if cannotBeTold {
                    return true
                }
                isFirst = false
            }
            guard header.pagesAfterCommit != 0 else { continue }
            if hasStreams, holdsAll(header.pagesAfterCommit, transaction...frame, file, state) { return true }
            transaction = frame + 1
        }
        return isFirst || database.checkpointState != state
    }

    /// What a frame begins with.
    private struct FrameHeader {
        let page: UInt32
        /// How many pages the database has after the transaction that ends with this frame; 0 in all others.
        let pagesAfterCommit: UInt32

        /// Nil where it is not there.
        init?(_ file: OpenedFile, at offset: Int64) {
            var numbers: (UInt32, UInt32) = (0, 0)
            guard withUnsafeMutableBytes(of: &numbers, { file.read(into: $0, at: offset) }) == .whole else {
                return nil
            }
            page = UInt32(bigEndian: numbers.0)
            pagesAfterCommit = UInt32(bigEndian: numbers.1)
        }
    }

    private static func start(of frame: Int64, _ state: CheckpointState) -> Int64 {
        32 + frame * (24 + Int64(state.pageSize))
    }

    /// Whether a transaction has written every page of the database, as a VACUUM and SQLite's online restore do: then it
    /// is all that is read, whatever the file has. And the table of streams may be on another page than before.
    private static func holdsAll(
        _ pages: UInt32, _ frames: ClosedRange<Int64>, _ file: OpenedFile, _ state: CheckpointState
    ) -> Bool {
        // One page is never written: SQLite puts its locks there.
        let locks = UInt32(0x4000_0000 / state.pageSize) + 1
        let wanted = pages >= locks ? pages - 1 : pages
        guard frames.count >= wanted else { return false }
        var found: Set<UInt32> = []
        for frame in frames {
            guard let header = FrameHeader(file, at: start(of: frame, state)) else { return false }
            if header.page <= pages { found.insert(header.page) }
        }
        return found.count >= wanted
    }

    /// Whether one transaction can have made the one of the other.
    private func isBefore(_ inFile: StreamsPage?, _ inLog: StreamsPage) -> Bool {
        guard let inFile else { return false }
        var marks: Set<Int64?> = []
        for (stream, after) in inLog.streams {
            guard let newest = columns.value("commit_number", of: after) else { return false }
            guard let row = inFile.streams[stream] else {
                // It was made in that transaction, without a commit yet.
                if newest == 0 { continue }
                return false
            }
            if row == after { continue }
            // What was never written down is no evidence.
            guard let previous = columns.value("previous_commit", of: after) else { return true }
            guard previous == columns.value("commit_number", of: row) else { return false }
            // What one transaction commits to several streams has the same random bits.
            marks.insert(newest == previous ? nil : CommitNumber.mark(of: newest))
        }
        for (stream, row) in inFile.streams where inLog.streams[stream] == nil {
            // Only one that did not arrive is taken away, by a transaction that does nothing else.
            guard columns.value("arriving_from", of: row) != nil else { return false }
            marks.insert(nil)
        }
        return marks.count <= 1
    }
}
