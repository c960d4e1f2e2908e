import Foundation
import GRDB
import TestSupport
import Testing

@testable import TidemarkSQLite

@Suite struct SQLiteVersionTests {
    @Test func `versions with the fault in beginning the -wal again are known`() {
        let faulty = [3_007_000, 3_040_001, 3_044_005, 3_045_000, 3_050_006, 3_051_000, 3_051_002]
        let mended = [3_006_023, 3_044_006, 3_044_007, 3_050_007, 3_051_003, 3_052_000, 3_053_001, 4_000_000]
        for number in faulty { #expect(SQLiteVersion(number: number).hasWALResetFault, "\(number)") }
        for number in mended { #expect(!SQLiteVersion(number: number).hasWALResetFault, "\(number)") }
        #expect(SQLiteVersion(number: 3_040_001).description == "3.40.1")
    }

    @Test func `opening says so where this process has such a version`() async throws {
        let folder = try TemporaryFolder()
        let log = LogLines()
        let opening = try Opening(
            path: folder.database, configuration: .init(logger: log.logger), migrations: .current)
        opening.reportVersion(SQLiteVersion(number: 3_051_003))
        #expect(log.text.isEmpty)
        opening.reportVersion(SQLiteVersion(number: 3_051_002))
        #expect(log.text.hasPrefix("notice ") && log.text.contains("3.51.2"))
    }

    /// Then no other process begins the `-wal` again while somebody begins a checkpoint.
    @Test func `whoever writes without a turn makes no checkpoint`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open(.init(fairnessTimeout: .milliseconds(1)))
        try await store.write { try $0.execute(sql: "CREATE TABLE pages (bytes BLOB)") }
        func size() -> Int64 {
            var information = stat()
            return stat(folder.database, &information) == 0 ? Int64(information.st_size) : 0
        }
        let before = size()
        let turn = try FileLock(path: store.directory + "/turn.lock")
        turn.lock()
        // More pages than a commit leaves in the `-wal` otherwise.
        try await store.write { try $0.execute(sql: "INSERT INTO pages VALUES (zeroblob(5000000))") }
        #expect(size() == before)
        turn.unlock()
        // Nobody knows when the turn that was waited for comes: until then everything is written without it.
        try await eventually("a turn that moves what is in the -wal") {
            try await store.write { try $0.execute(sql: "INSERT INTO pages VALUES (zeroblob(1))") }
            return size() > before + 4_000_000
        }
    }
}
