#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Finds the process that holds the write lock of a database in WAL mode.
///
/// SQLite takes it as a POSIX lock on byte 120 of the `-shm` file (https://www.sqlite.org/walformat.html, "WAL Locks"),
/// and Linux lists all such locks in `/proc/locks`. Only `stat` is asked about the file itself: opening and closing it
/// would drop this process's own locks. Elsewhere, and across the borders of containers, the holder stays unknown.
struct WriteLockHolder {
    static let lockByte: UInt64 = 120

    /// The process's id, or nil.
    static func processID(ofDatabase path: String) -> Int32? {
        var information = stat()
        guard stat(path + "-shm", &information) == 0, let locks = contents(of: "/proc/locks") else { return nil }
        return processID(
            in: locks, inode: UInt64(information.st_ino), device: deviceText(UInt64(information.st_dev)))
    }

    /// Reads lines such as `7: POSIX  ADVISORY  WRITE 4711 fd:01:1234567 120 120`. On stacked file systems the device
    /// is not the one that `stat` tells: then the inode alone has to do.
    static func processID(in locks: String, inode: UInt64, device: String) -> Int32? {
        let holders = locks.split(separator: "\n").compactMap { line -> (device: Substring, processID: Int32)? in
            let fields = line.split(separator: " ")
            // A line of somebody who waits has `->` in the second field.
            guard fields.count == 8, fields[1] == "POSIX", fields[3] == "WRITE",
                let processID = Int32(fields[4]), processID > 0,
                let mark = fields[5].lastIndex(of: ":"), UInt64(fields[5][fields[5].index(after: mark)...]) == inode,
                let first = UInt64(fields[6]), first <= lockByte,
                fields[7] == "EOF" || UInt64(fields[7]).map({ $0 >= lockByte }) == true
            else { return nil }
            return (fields[5][..<mark], processID)
        }
        return (holders.first { $0.device == device } ?? holders.first)?.processID
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
