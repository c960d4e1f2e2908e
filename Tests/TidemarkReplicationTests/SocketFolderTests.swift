import Foundation
import TestSupport
import Testing

@testable import TidemarkReplication

@Suite struct SocketFolderTests {
    private let temporary: TemporaryFolder
    private let folder: String

    init() throws {
        temporary = try TemporaryFolder()
        folder = temporary.exchange
    }

    private func takeOver(replacing replaced: SocketIdentity? = nil) throws -> (descriptor: CInt, SocketIdentity)? {
        switch try SocketFolder(path: folder).takeOver(replacing: replaced, ignoringLock: false) {
        case .serving(let descriptor, let identity): (descriptor, identity)
        case .lockIsHeld, .replacedMeanwhile: nil
        }
    }

    @Test func aFolderThatIsMadeIsItsOwnersAlone() throws {
        _ = try SocketFolder(path: folder)
        #expect(try TemporaryFolder.permissions(of: folder) == 0o700)
    }

    @Test func theSocketIsItsOwnersAlone() throws {
        let (descriptor, _) = try #require(try takeOver())
        defer { close(descriptor) }
        #expect(try TemporaryFolder.permissions(of: folder + "/" + SocketFolder.socketName) == 0o600)
    }

    @Test func aFolderThatOthersCanEnterIsRefused() throws {
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o750])
        #expect(throws: SocketFolderError.openToOthers(path: folder, mode: 0o750)) {
            _ = try SocketFolder(path: folder)
        }
    }

    @Test func onlyTheLastComponentIsMade() throws {
        let error = #expect(throws: SocketFolderError.self) { _ = try SocketFolder(path: folder + "/a") }
        #expect(error == .systemCall(name: "mkdir", path: folder + "/a", number: ENOENT))
    }

    @Test func nobodyAnswersWhereNobodyServes() throws {
        #expect(try SocketFolder(path: folder).connectedSocket() == nil)
        let (descriptor, _) = try #require(try takeOver())
        let connection = try #require(try SocketFolder(path: folder).connectedSocket())
        close(connection)
        close(descriptor)
        #expect(try SocketFolder(path: folder).connectedSocket() == nil)
    }

    @Test func onlyTheSocketThatWasSeenIsReplaced() throws {
        let (first, identity) = try #require(try takeOver())
        defer { close(first) }
        #expect(try takeOver(replacing: nil) == nil)
        let (second, newIdentity) = try #require(try takeOver(replacing: identity))
        defer { close(second) }
        #expect(newIdentity != identity)
        #expect(SocketFolder.socketIdentity(inFolder: folder) == newIdentity)
        #expect(try takeOver(replacing: identity) == nil)
    }

    @Test func theElectionLockKeepsASecondOneOut() throws {
        let opened = try SocketFolder(path: folder)
        let lock = try ElectionLock(in: opened)
        let isHeld = lock.isHeld
        #expect(isHeld)
        #expect(try takeOver() == nil)
        guard case .serving(let descriptor, _) = try opened.takeOver(replacing: nil, ignoringLock: true) else {
            Issue.record("the lock is in the way although it is to be ignored")
            return
        }
        close(descriptor)
    }

    @Test func socketsThatNeverGotTheirNameAreRemoved() throws {
        _ = try SocketFolder(path: folder)
        #expect(
            FileManager.default.createFile(atPath: folder + "/" + SocketFolder.temporaryPrefix + "1a2b", contents: nil))
        let (descriptor, _) = try #require(try takeOver())
        close(descriptor)
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: folder).sorted() == [
                SocketFolder.lockName, SocketFolder.socketName,
            ])
    }

    @Test func linksToADatabaseLeadToItsFolder() throws {
        let root = try #require(realpath(temporary.path, nil).map { String(cString: $0) })
        #expect(try SocketFolder.path(besideDatabase: temporary.path + "/a.db") == root + "/a.db-tidemark")
        #expect(FileManager.default.createFile(atPath: root + "/a.db", contents: nil))
        try FileManager.default.createSymbolicLink(atPath: root + "/b.db", withDestinationPath: "a.db")
        #expect(try SocketFolder.path(besideDatabase: temporary.path + "/b.db") == root + "/a.db-tidemark")
        #expect(throws: SocketFolderError.self) {
            try SocketFolder.path(besideDatabase: temporary.path + "/none/a.db")
        }
    }
}
