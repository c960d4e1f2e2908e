import Foundation
import TestSupport
import Testing
import Tidemark

@testable import TidemarkSQLite

/// Two instances on the same folder tell each other apart as two processes do: an flock belongs to the open file.
@Suite struct ProcessFileTests {
    @Test func `a file is held until it is released, and is gone then`() throws {
        let folder = try TemporaryFolder()
        let (one, two) = (ProcessFile(directory: folder.path), ProcessFile(directory: folder.path))
        let name = try #require(one.name())
        #expect(one.name() == name)
        let path = folder.path + "/processes/" + name
        let permissions = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions]
        #expect(permissions as? Int == 0o600)
        #expect(!two.isGone(name, removes: true))
        #expect(!one.isGone(name, removes: true))
        one.release()
        #expect(two.isGone(name, removes: true))
        #expect(!FileManager.default.fileExists(atPath: path))
        #expect(one.name() == nil)
    }

    @Test func `what a process that is gone has left is removed by whoever finds it, if it may`() throws {
        let folder = try TemporaryFolder()
        let file = ProcessFile(directory: folder.path)
        _ = file.name()
        let path = folder.path + "/processes/left"
        try Data().write(to: URL(filePath: path))
        #expect(file.isGone("left", removes: false))
        #expect(FileManager.default.fileExists(atPath: path))
        #expect(file.isGone("left", removes: true))
        #expect(!FileManager.default.fileExists(atPath: path))
        #expect(file.isGone("left", removes: true))
    }

    @Test func `making a file removes what others have left, and nothing that is held`() throws {
        let folder = try TemporaryFolder()
        let one = ProcessFile(directory: folder.path)
        let name = try #require(one.name())
        try Data().write(to: URL(filePath: folder.path + "/processes/left"))
        let two = ProcessFile(directory: folder.path)
        let names = Set([name, try #require(two.name())])
        #expect(Set(try FileManager.default.contentsOfDirectory(atPath: folder.path + "/processes")) == names)
    }

    @Test func `nothing that no process of this package made is removed`() throws {
        let folder = try TemporaryFolder()
        let processes = folder.path + "/processes"
        try FileManager.default.createDirectory(atPath: processes, withIntermediateDirectories: false)
        for name in ["Notes", "notes.txt"] { try Data().write(to: URL(filePath: processes + "/" + name)) }
        try Data("mine".utf8).write(to: URL(filePath: processes + "/mine"))
        try FileManager.default.createSymbolicLink(atPath: processes + "/link", withDestinationPath: "Notes")
        let name = try #require(ProcessFile(directory: folder.path).name())
        let left = try FileManager.default.contentsOfDirectory(atPath: processes).filter { $0 != name }
        #expect(left.sorted() == ["Notes", "link", "mine", "notes.txt"])
    }

    @Test func `a folder that is a symbolic link is not used`() throws {
        let folder = try TemporaryFolder()
        let target = folder.path + "/target"
        try FileManager.default.createDirectory(atPath: target, withIntermediateDirectories: false)
        try Data().write(to: URL(filePath: target + "/mine"))
        try FileManager.default.createSymbolicLink(atPath: folder.path + "/processes", withDestinationPath: target)
        #expect(ProcessFile(directory: folder.path).name() == nil)
        #expect(try FileManager.default.contentsOfDirectory(atPath: target) == ["mine"])
    }

    @Test func `a file that was removed under a process that lives is made again`() throws {
        let folder = try TemporaryFolder()
        let (one, two) = (ProcessFile(directory: folder.path), ProcessFile(directory: folder.path))
        let lost = try #require(one.name())
        try FileManager.default.removeItem(atPath: folder.path + "/processes/" + lost)
        #expect(two.isGone(lost, removes: true))
        let name = try #require(one.name())
        #expect(name != lost)
        #expect(!two.isGone(name, removes: true))
    }

    @Test func `without its folder, and with a name that is none, a file says nothing`() throws {
        let folder = try TemporaryFolder()
        let file = ProcessFile(directory: folder.path)
        #expect(!file.isGone("left", removes: true))
        _ = file.name()
        for name in ["", "../left", "/tmp", "Left", "l eft", "."] { #expect(!file.isGone(name, removes: true)) }
    }

    @Test func `a file that cannot be made is no reason to fail`() throws {
        let folder = try TemporaryFolder()
        try Data().write(to: URL(filePath: folder.path + "/processes"))
        #expect(ProcessFile(directory: folder.path).name() == nil)
    }

    @Test func `the kernel tells that a process is gone that was killed`() async throws {
        let folder = try TemporaryFolder()
        let file = ProcessFile(directory: folder.path)
        _ = file.name()
        let script = """
            import fcntl, os, sys
            descriptor = os.open(sys.argv[1], os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            print("held", flush=True)
            sys.stdin.read()
            """
        let program = try Program(
            executable: URL(filePath: "/usr/bin/env"), ["python3", "-c", script, folder.path + "/processes/child"])
        try await program.waitForLines(1)
        #expect(!file.isGone("child", removes: true))
        try await program.killAndWait()
        #expect(file.isGone("child", removes: true))
    }
}
