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

    @Test func `a folder that is made is its owners alone`() throws {
        _ = try SocketFolder(path: folder)
        #expect(try TemporaryFolder.permissions(of: folder) == 0o700)
    }

    @Test func `the socket is its owners alone`() throws {
        let (descriptor, _) = try #require(try takeOver())
        defer { close(descriptor) }
        #expect(try TemporaryFolder.permissions(of: folder + "/" + SocketFolder.socketName) == 0o600)
    }

    @Test func `a folder that others can enter is refused`() throws {
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o750])
        #expect(throws: SocketFolderError.openToOthers(path: folder, mode: 0o750)) {
            _ = try SocketFolder(path: folder)
        }
    }

    @Test func `beside a database a folder that others can enter is put right`() throws {
        let database = temporary.path + "/events.db"
        #expect(FileManager.default.createFile(atPath: database, contents: nil))
        let beside = try SocketFolder.path(besideDatabase: database)
        try FileManager.default.createDirectory(
            atPath: beside, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o750])
        let opened = try SocketFolder(path: beside, besideDatabase: database)
        let mode = opened.formerMode
        #expect(mode == 0o750)
        #expect(try TemporaryFolder.permissions(of: beside) == 0o700)
        let again = try SocketFolder(path: beside, besideDatabase: database)
        let nothing = again.formerMode
        #expect(nothing == nil)
    }

    @Test(.enabled(if: geteuid() == 0))
    func `what root makes beside a database belongs to its owner`() throws {
        let database = temporary.path + "/events.db"
        #expect(FileManager.default.createFile(atPath: database, contents: nil))
        #expect(chown(database, 54_321, 54_321) == 0)
        let beside = try SocketFolder.path(besideDatabase: database)
        let opened = try SocketFolder(path: beside, besideDatabase: database)
        guard case .serving(let descriptor, _) = try opened.takeOver(replacing: nil, ignoringLock: false) else {
            Issue.record("nobody else takes over")
            return
        }
        defer { close(descriptor) }
        for name in ["", "/election-2", "/socket-2"] {
            let owner = try FileManager.default.attributesOfItem(atPath: beside + name)[.ownerAccountID] as? NSNumber
            #expect(owner?.uint32Value == 54_321, "\(name)")
        }
        #expect(throws: SocketFolderError.notOwned(path: beside, owner: 54_321)) { _ = try SocketFolder(path: beside) }
    }

    @Test func `only the last component is made`() throws {
        let error = #expect(throws: SocketFolderError.self) { _ = try SocketFolder(path: folder + "/a") }
        #expect(error == .systemCall(name: "mkdir", path: folder + "/a", number: ENOENT))
    }

    @Test func `nobody answers where nobody serves`() throws {
        #expect(try SocketFolder(path: folder).connectedSocket() == nil)
        let (descriptor, _) = try #require(try takeOver())
        let connection = try #require(try SocketFolder(path: folder).connectedSocket())
        close(connection)
        close(descriptor)
        #expect(try SocketFolder(path: folder).connectedSocket() == nil)
    }

    @Test func `only the socket that was seen is replaced`() throws {
        let (first, identity) = try #require(try takeOver())
        defer { close(first) }
        #expect(try takeOver(replacing: nil) == nil)
        let (second, newIdentity) = try #require(try takeOver(replacing: identity))
        defer { close(second) }
        #expect(newIdentity != identity)
        #expect(SocketFolder.socketIdentity(inFolder: folder) == newIdentity)
        #expect(try takeOver(replacing: identity) == nil)
    }

    @Test func `the election lock keeps a second one out`() throws {
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

    @Test func `sockets that never got their name are removed`() throws {
        _ = try SocketFolder(path: folder)
        try bindSocket(folder + "/" + SocketFolder.temporaryPrefix + "1a2b")
        let (descriptor, _) = try #require(try takeOver())
        close(descriptor)
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: folder).sorted() == [
                SocketFolder.lockName, SocketFolder.socketName,
            ])
    }

    /// Where the socket is.
    private var socketPath: String { folder + "/" + SocketFolder.socketName }

    @Test func `nothing that another program made is removed`() throws {
        _ = try SocketFolder(path: folder)
        let (file, socket) = (SocketFolder.temporaryPrefix + "1a2b", SocketFolder.temporaryPrefix + "io")
        #expect(FileManager.default.createFile(atPath: folder + "/" + file, contents: nil))
        try bindSocket(folder + "/" + socket)
        let (descriptor, _) = try #require(try takeOver())
        close(descriptor)
        let left = try FileManager.default.contentsOfDirectory(atPath: folder)
        #expect(Set(left) == [SocketFolder.lockName, SocketFolder.socketName, file, socket])
    }

    @Test func `a socket of another program is not replaced`() throws {
        let opened = try SocketFolder(path: folder)
        try bindSocket(socketPath)
        let found = opened.identity(ofName: SocketFolder.socketName)
        #expect(throws: SocketFolderError.nameIsTaken(path: socketPath)) { try takeOver(replacing: found) }
        #expect(opened.identity(ofName: SocketFolder.socketName) == found)
    }

    @Test func `a file that has the sockets name is not replaced`() throws {
        let (descriptor, _) = try #require(try takeOver())
        close(descriptor)
        try Data("mine".utf8).write(to: URL(filePath: socketPath), options: .atomic)
        let found = try SocketFolder(path: folder).identity(ofName: SocketFolder.socketName)
        #expect(throws: SocketFolderError.nameIsTaken(path: socketPath)) { try takeOver(replacing: found) }
        #expect(FileManager.default.contents(atPath: socketPath) == Data("mine".utf8))
    }

    @Test(arguments: ["", "/"])
    func `a folder that is a symbolic link is refused`(end: String) throws {
        let target = temporary.path + "/target"
        try FileManager.default.createDirectory(
            atPath: target, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
        try FileManager.default.createSymbolicLink(atPath: folder, withDestinationPath: target)
        #expect(throws: SocketFolderError.symbolicLink(path: folder)) { _ = try SocketFolder(path: folder + end) }
        #expect(try FileManager.default.contentsOfDirectory(atPath: target) == [])
    }

    /// What a process leaves that ends after it has bound a socket.
    private func bindSocket(_ path: String) throws {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let bound = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try #require(bound == 0)
    }

    @Test func `links to a database lead to its folder`() throws {
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
