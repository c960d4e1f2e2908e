import GRDB
import GRDBSQLite

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// A file as a connection has it open.
struct OpenedFile {
    private let pointer: UnsafeMutablePointer<sqlite3_file>
    private let methods: UnsafePointer<sqlite3_io_methods>

    enum Kind {
        case database
        /// Its `-wal`.
        case log
    }

    /// Nil while the connection has none.
    init?(_ db: Database, _ kind: Kind) {
        guard let connection = db.sqliteConnection else { return nil }
        let file = kind == .database ? SQLITE_FCNTL_FILE_POINTER : SQLITE_FCNTL_JOURNAL_POINTER
        var pointer: UnsafeMutablePointer<sqlite3_file>?
        guard
            sqlite3_file_control(connection, nil, file, &pointer) == SQLITE_OK,
            let pointer, let methods = pointer.pointee.pMethods
        else { return nil }
        self.pointer = pointer
        self.methods = methods
    }

    enum Reading {
        case whole
        /// The file ends before.
        case short
        /// It cannot be told.
        case failed
    }

    func read(into bytes: UnsafeMutableRawBufferPointer, at offset: Int64) -> Reading {
        switch ResultCode(rawValue: methods.pointee.xRead(pointer, bytes.baseAddress, Int32(bytes.count), offset)) {
        case .SQLITE_OK: .whole
        case .SQLITE_IOERR_SHORT_READ: .short
        default: .failed
        }
    }

    /// For the database: where the last committed frame of its `-wal` ends, as the index says that all processes share;
    /// 0 where there is none. Needs the write lock: then nobody changes it.
    ///
    /// The index is that of version 3007000, the only one there is. In its header, in the order of the machine's bytes,
    /// are the size of a page at 14 (1 for 65,536) and the number of the last frame at 16; a frame has 24 bytes before
    /// its page, the file 32 before the first frame (https://www.sqlite.org/walformat.html#walidxfmt).
    var endOfCommits: Int64? {
        checkpointState?.endOfCommits
    }

    /// For the database: what of its `-wal` is in the file, by the same index. Its header is there twice, in 48 bytes
    /// each, and after that what checkpoints write: how far they have come at 96, and how far the last one wanted to at
    /// 128, which it says before it writes. Two numbers at 32 change when the `-wal` begins
    /// again. Nil where that cannot be told, as while somebody writes the header, one copy after the other.
    var checkpointState: CheckpointState? {
        guard let header = mappedIndex, memcmp(header, header + 48, 48) == 0 else { return nil }
        let size = header.load(fromByteOffset: 14, as: UInt16.self)
        return CheckpointState(
            pageSize: size == 1 ? 65_536 : Int(size), frames: header.load(fromByteOffset: 16, as: UInt32.self),
            generation: UInt32(bigEndian: header.load(fromByteOffset: 32, as: UInt32.self)),
            random: header.load(fromByteOffset: 36, as: UInt32.self),
            moved: header.load(fromByteOffset: 96, as: UInt32.self),
            attempted: header.load(fromByteOffset: 128, as: UInt32.self))
    }

    /// For the database: the read marks in use that are below the last committed frame, so that what follows them cannot
    /// be moved; empty where everything has been. Others may change them meanwhile.
    ///
    /// After the number of frames that were moved are, from 100 on, five marks, of which the first is for those who read
    /// the database alone; one that is not used is the largest number.
    var marksInTheWay: [Int] {
        guard let header = mappedIndex else { return [] }
        let frames = header.load(fromByteOffset: 16, as: UInt32.self)
        guard header.load(fromByteOffset: 96, as: UInt32.self) < frames else { return [] }
        return (0...4).filter { $0 == 0 || header.load(fromByteOffset: 100 + 4 * $0, as: UInt32.self) < frames }
    }

    private var mappedIndex: UnsafeMutableRawPointer? {
        var header: UnsafeMutableRawPointer?
        guard methods.pointee.iVersion >= 2, let map = methods.pointee.xShmMap else { return nil }
        // A process that may only read the index is told so, and gets it.
        let result = ResultCode(rawValue: map(pointer, 0, 32 * 1024, 0, &header))
        guard result == .SQLITE_OK || result == .SQLITE_READONLY, let header else { return nil }
        // What was read of the file before is older than what is read of the index now, and the other way round.
        methods.pointee.xShmBarrier?(pointer)
        guard header.load(as: UInt32.self) == 3_007_000 else { return nil }
        return header
    }
}

/// What of a `-wal` is in its database.
struct CheckpointState: Equatable {
    let pageSize: Int
    /// How many frames the `-wal` has.
    let frames: UInt32
    /// The number of the `-wal`, which is raised by one each time that it begins again, and a random number.
    let generation: UInt32
    let random: UInt32
    /// How many of the frames are in the database, and up to which the last checkpoint wanted to move them.
    let moved: UInt32
    let attempted: UInt32

    /// Nobody moves anything just now, nor lets the `-wal` begin again: that sets the number of frames to 0 first.
    var isQuiet: Bool { moved == attempted && moved <= frames }
    /// Everything is in the database.
    var isWhole: Bool { isQuiet && moved == frames }
    var endOfCommits: Int64 { frames == 0 ? 0 : 32 + Int64(frames) * (24 + Int64(pageSize)) }

    /// Nothing was moved since the other one, however many frames have come.
    func movedNothing(since other: CheckpointState) -> Bool {
        generation == other.generation && random == other.random && moved == other.moved
            && attempted == other.attempted
    }
}
