#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif
import GRDB

/// Finds the processes that hold locks of a database: in WAL mode the one that writes, and those that read; and the one
/// that lets nobody read.
///
/// SQLite takes them as POSIX locks on single bytes: in WAL mode of the `-shm` file
/// (https://www.sqlite.org/walformat.html, "WAL Locks"), and those that let nobody read of the database file itself
/// (https://www.sqlite.org/src/file/src/os.h). Linux lists all such locks in `/proc/locks`. Only `stat` is asked about the
/// files: opening and closing one would drop this process's own locks. Elsewhere, and across the borders of containers,
/// the holders stay unknown.
struct WriteLockHolder {
    static let lockByte: UInt64 = 120
    /// Bytes of the database file: the first of those that a reader locks, and the one that a process locks which waits until
    /// all readers have gone, so that no more come.
    private static let exclusiveBytes: [UInt64] = [0x4000_0002, 0x4000_0000]

    /// The id of the process that has the write lock, or nil.
    static func processID(ofDatabase path: String) -> Int32? { holders(path + "-shm", "WRITE", lockByte).first }

    /// The id of the process that lets nobody read, or nil.
    static func exclusiveProcessID(ofDatabase path: String) -> Int32? {
        exclusiveBytes.lazy.compactMap { holders(path, "WRITE", $0).first }.first
    }

    static func exclusiveProcessID(in locks: String, inode: UInt64, device: String) -> Int32? {
        exclusiveBytes.lazy.compactMap {
            processIDs(in: locks, inode: inode, device: device, "WRITE", $0).first
        }.first
    }

    /// The ids of the processes that read by one of SQLite's read marks, 0 to 4.
    static func readers(ofDatabase path: String, mark: Int) -> [Int32] {
        holders(path + "-shm", "READ", lockByte + 3 + UInt64(mark))
    }

    private static func holders(_ path: String, _ kind: String, _ byte: UInt64) -> [Int32] {
        var information = stat()
        guard stat(path, &information) == 0, let locks = contents(of: "/proc/locks") else { return [] }
        return processIDs(
            in: locks, inode: UInt64(information.st_ino), device: deviceText(UInt64(information.st_dev)), kind, byte)
    }

    static func processID(in locks: String, inode: UInt64, device: String) -> Int32? {
        processIDs(in: locks, inode: inode, device: device, "WRITE", lockByte).first
    }

    /// Reads lines such as `7: POSIX  ADVISORY  WRITE 4711 fd:01:1234567 120 120`. On stacked file systems the device
    /// is not the one that `stat` tells: then the inode alone has to do.
    static func processIDs(
        in locks: String, inode: UInt64, device: String, _ kind: String, _ byte: UInt64
    ) -> [Int32] {
        let holders = locks.split(separator: "\n").compactMap { line -> (device: Substring, processID: Int32)? in
            let fields = line.split(separator: " ")
            // A line of somebody who waits has `->` in the second field.
            guard fields.count == 8, fields[1] == "POSIX", fields[3] == kind,
                let processID = Int32(fields[4]), processID > 0,
                let mark = fields[5].lastIndex(of: ":"), UInt64(fields[5][fields[5].index(after: mark)...]) == inode,
                let first = UInt64(fields[6]), first <= byte,
                fields[7] == "EOF" || UInt64(fields[7]).map({ $0 >= byte }) == true
            else { return nil }
            return (fields[5][..<mark], processID)
        }
        let onDevice = holders.filter { $0.device == device }
        return (onDevice.isEmpty ? holders : onDevice).map(\.processID)
    }

    /// What the process calls itself, or nil.
    static func command(ofProcess processID: Int32) -> String? {
        guard let name = contents(of: "/proc/\(processID)/comm")?.split(separator: "\n").first else { return nil }
        return String(name)
    }

    /// As `/proc/locks` writes a device: major and minor number in hexadecimal, with at least two digits each.
    static func deviceText(_ device: UInt64) -> String {
        let major = (device >> 8) & 0xFFF | (device >> 32) & ~0xFFF
        let minor = device & 0xFF | (device >> 12) & 0xFFFF_FF00
        return [major, minor].map { number in
            let digits = String(number, radix: 16)
            return digits.count < 2 ? "0" + digits : digits
        }.joined(separator: ":")
    }

    private static func contents(of path: String) -> String? {
        guard let file = fopen(path, "re") else { return nil }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 14)
        while true {
            let count = fread(&chunk, 1, chunk.count, file)
            if count == 0 { return String(decoding: bytes, as: UTF8.self) }
            bytes += chunk[..<count]
        }
    }
}

/// A process that uses a database, as people are told of it.
enum DatabaseProcess {
    /// "instance p1 (process 4711)"; of one that is no writer "process 4711 (sqlite3)", or less where less is known.
    static func description(of processID: Int32, _ db: Database) -> String {
        let instances = try? Query.all(
            db,
            "SELECT DISTINCT instance FROM tidemark_instances WHERE process_id = ? AND is_member = 1 ORDER BY instance",
            Int(processID)
        ) { $0.text(0) }
        guard let instances, !instances.isEmpty else { return description(of: processID) }
        return "instance\(instances.count == 1 ? "" : "s") \(instances.joined(separator: ", ")) (process \(processID))"
    }

    /// "process 4711 (sqlite3)", where the database cannot be asked.
    static func description(of processID: Int32) -> String {
        let command = WriteLockHolder.command(ofProcess: processID).map { " (\($0))" } ?? ""
        return "process \(processID)\(command)"
    }
}
