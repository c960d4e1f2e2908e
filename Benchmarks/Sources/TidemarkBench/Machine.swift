import Foundation
import GRDBSQLite
import Histogram

/// What the run is on: figures of another machine, disk or version are others.
struct Machine {
    /// Where the databases are.
    let folder: URL

    func note(in report: inout Report) throws {
        report.setFact("processor", "\(processor), \(ProcessInfo.processInfo.activeProcessorCount) cores")
        report.setFact("memory", "\((ProcessInfo.processInfo.physicalMemory + (1 << 29)) >> 30) GiB")
        report.setFact("system", "\(system), kernel \(kernel)")
        report.setFact("load at the start", contents("/proc/loadavg").prefix(3, separatedBy: " "))
        report.setFact("file system", fileSystem)
        let sync = try syncTimes()
        report.set("machine.fdatasync_p50_us", Double(sync.valueAtPercentile(50)) / 1e3)
        report.set("machine.fdatasync_p99_us", Double(sync.valueAtPercentile(99)) / 1e3)
        report.setFact(
            "what a sync costs there",
            "\(sync.valueAtPercentile(50) / 1_000) µs for 4 KiB and fdatasync (median of \(sync.totalCount))")
        report.setFact("sync mode", "synchronous=FULL, journal mode WAL: durable when persisting returns")
        report.setFact("SQLite", String(cString: sqlite3_libversion()))
    }

    private var processor: String {
        let line = contents("/proc/cpuinfo").split(separator: "\n").first { $0.hasPrefix("model name") }
        return line?.split(separator: ":").last.map { $0.trimmingCharacters(in: .whitespaces) } ?? "unknown processor"
    }

    private var system: String {
        let line = contents("/etc/os-release").split(separator: "\n").first { $0.hasPrefix("PRETTY_NAME=") }
        return line.map { $0.dropFirst("PRETTY_NAME=".count).filter { $0 != "\"" } }
            ?? ProcessInfo.processInfo.operatingSystemVersionString
    }

    private var kernel: String {
        contents("/proc/sys/kernel/osrelease").trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// Of the longest mount point that the folder is under.
    private var fileSystem: String {
        let path = folder.resolvingSymlinksInPath().path
        let mounts = contents("/proc/mounts").split(separator: "\n").map { $0.split(separator: " ") }
        let found = mounts.filter { fields in
            guard fields.count > 3 else { return false }
            return fields[1] == "/" || path == fields[1] || path.hasPrefix(fields[1] + "/")
        }
        guard let mount = found.max(by: { $0[1].count < $1[1].count }) else { return "unknown" }
        return "\(mount[2]), mounted at \(mount[1])"
    }

    /// Nanoseconds that a write of one page takes until the disk is said to have it.
    private func syncTimes() throws -> Histogram<UInt64> {
        let file = folder.appending(path: "tidemark-bench-sync-\(UUID())")
        defer { try? FileManager.default.removeItem(at: file) }
        let descriptor = open(file.path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Failure("\(folder.path) cannot be written to") }
        defer { close(descriptor) }
        var times = Histogram<UInt64>(highestTrackableValue: 60_000_000_000)
        let page = [UInt8](repeating: 1, count: 4_096)
        for _ in 0..<200 {
            let start = MonotonicTime.now
            guard write(descriptor, page, page.count) == page.count, fdatasync(descriptor) == 0 else {
                throw Failure("\(folder.path) cannot be synced to")
            }
            _ = times.record(UInt64(MonotonicTime.now - start))
        }
        return times
    }

    private func contents(_ path: String) -> String {
        (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
    }
}

extension String {
    fileprivate func prefix(_ count: Int, separatedBy separator: Character) -> String {
        split(separator: separator).prefix(count).joined(separator: String(separator))
    }
}
