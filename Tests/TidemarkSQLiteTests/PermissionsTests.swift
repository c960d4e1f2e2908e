import Foundation
import GRDB
import Logging
import Synchronization
import TestSupport
import Testing
import Tidemark

@testable import TidemarkSQLite

/// Whose the files beside a database are, and who can use them.
@Suite struct PermissionsTests {
    /// As a platform for containers does with a volume that has a group.
    @Test func `a folder that was opened to a group is its owner's alone again, and the log says so`() async throws {
        let folder = try TemporaryFolder()
        let log = LogLines()
        let running = try await folder.open(.init(logger: log.logger))
        let writer = try await running.join(stream, as: "p1").writer
        #expect(!log.text.contains(running.directory))
        #expect(chmod(running.directory, 0o2770) == 0)
        for file in ["", "-wal", "-shm", "-tidemark/next.lock", "-tidemark/turn.lock"] {
            #expect(chmod(folder.database + file, 0o660) == 0)
        }
        let store = try await folder.open(.init(logger: log.logger))
        _ = try await store.join(stream, as: "p2")
        #expect(try permissions(store.directory) == 0o700)
        #expect(log.text.contains("2770") && log.text.contains(store.directory))
        _ = try await running.persist(events("a"), in: stream, by: writer)
        #expect(try await store.all().count == 1)
    }

    @Test(.enabled(if: geteuid() == 0))
    func `what root makes beside a database belongs to the owner of the database`() async throws {
        let folder = try TemporaryFolder()
        try await folder.open().close()
        #expect(chown(folder.database, Self.service, Self.service) == 0)
        try FileManager.default.removeItem(atPath: folder.database + "-tidemark")
        let store = try await folder.open()
        _ = try await store.join(stream, as: "p1")
        try expectOwner(in: folder)
    }

    @Test(.enabled(if: geteuid() == 0))
    func `a database that root makes in the folder of a service belongs to the service`() async throws {
        let folder = try TemporaryFolder()
        #expect(chown(folder.path, Self.service, Self.service) == 0)
        let store = try await folder.open()
        _ = try await store.join(stream, as: "p1")
        try expectOwner(in: folder)
    }

    @Test(.enabled(if: geteuid() == 0))
    func `a folder that root has left locked is put right by root`() async throws {
        let folder = try TemporaryFolder()
        let first = try await folder.open()
        _ = try await first.join(stream, as: "p1")
        for file in ["", "-wal", "-shm"] { #expect(chown(folder.database + file, Self.service, Self.service) == 0) }
        let store = try await folder.open()
        _ = try await store.join(stream, as: "p2")
        #expect(try owner(store.directory) == Self.service)
        for name in ["open", "next", "turn"] { #expect(try owner(store.directory + "/\(name).lock") == Self.service) }
    }

    @Test func `a store that only reads leaves nothing beside a database at rest`() async throws {
        let folder = try TemporaryFolder()
        let writer = try await folder.open()
        _ = try await writer.join(stream, as: "p1")
        await writer.close()
        let first = try await folder.open(.init(readOnly: true))
        let second = try await folder.open(.init(readOnly: true))
        for store in [first, second] { _ = try await store.version() }
        #expect(FileManager.default.fileExists(atPath: folder.database + "-wal"))
        for store in [first, second] { await store.close() }
        #expect(!FileManager.default.fileExists(atPath: folder.database + "-wal"))
        #expect(!FileManager.default.fileExists(atPath: folder.database + "-shm"))
    }

    @Test func `nor does it take a writer's files away`() async throws {
        let folder = try TemporaryFolder()
        let writer = try await folder.open()
        let instance = try await writer.join(stream, as: "p1").writer
        try await writer.withWriter { try $0.execute(sql: "PRAGMA wal_checkpoint(TRUNCATE)") }
        let reader = try await folder.open(.init(readOnly: true))
        _ = try await reader.version()
        await reader.close()
        _ = try await writer.persist(events("a"), in: stream, by: instance)
        #expect(try await writer.all().count == 1)
    }

    @Test func `beside a file that nobody may write to it makes nothing`() async throws {
        let folder = try TemporaryFolder()
        let writer = try await folder.open()
        _ = try await writer.join(stream, as: "p1")
        await writer.close()
        #expect(chmod(folder.database, 0o400) == 0)
        let reader = try await folder.open(.init(readOnly: true))
        #expect(try await reader.version() > 0)
        #expect(!FileManager.default.fileExists(atPath: folder.database + "-wal"))
        #expect(!FileManager.default.fileExists(atPath: folder.database + "-shm"))
        await reader.close()
    }

    @Test func `a store that only reads makes no folder, and puts no permissions right`() async throws {
        let folder = try TemporaryFolder()
        let writer = try await folder.open()
        _ = try await writer.join(stream, as: "p1")
        #expect(chmod(writer.directory, 0o750) == 0)
        let reader = try await folder.open(.init(readOnly: true))
        #expect(try await reader.status(of: stream)?.writers.count == 1)
        #expect(try permissions(writer.directory) == 0o750)
        try FileManager.default.removeItem(atPath: writer.directory)
        let other = try await folder.open(.init(readOnly: true))
        #expect(try await other.status(of: stream)?.writers.count == 1)
        #expect(!FileManager.default.fileExists(atPath: writer.directory))
    }

    // MARK: Owners and permissions

    /// The number of a user that there need not be.
    private static let service: uid_t = 54_321

    private func permissions(_ path: String) throws -> Int? {
        try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
    }

    private func owner(_ path: String) throws -> uid_t? {
        (try FileManager.default.attributesOfItem(atPath: path)[.ownerAccountID] as? NSNumber)?.uint32Value
    }

    private func expectOwner(in folder: TemporaryFolder) throws {
        let names = try FileManager.default.subpathsOfDirectory(atPath: folder.path)
        #expect(names.count >= 8)
        for name in names { #expect(try owner(folder.path + "/" + name) == Self.service, "\(name)") }
    }
}
