import Foundation
import TestSupport
import GRDB
import Testing
import Tidemark

@testable import TidemarkSQLite

@Suite struct StatusTests {
    @Test func `while the write lock is held its holder is named, and nobody is called silent for it`() async throws {
        let folder = try TemporaryFolder()
        let clock = ManualWallClock(5_000)
        let store = try await folder.open(.init(wallClockMilliseconds: { clock.now }))
        let writer = try await store.join(stream, as: "p1").writer
        let idle = try await store.join(stream, as: "p2").writer
        _ = try await store.allocate(1, in: stream, for: idle)
        _ = try await store.persist(events("a"), in: stream, by: writer)
        var options = Configuration()
        options.allowsUnsafeTransactions = true
        let other = try DatabaseQueue(path: folder.database, configuration: options)
        try await other.writeWithoutTransaction { try $0.execute(sql: "BEGIN IMMEDIATE") }
        // Somebody writes just now, as somebody often does.
        #expect(try await store.status(of: stream)?.writeLockHolder == nil)
        clock.now += 10_000
        let status = try #require(try await store.status(of: stream))
        let process = ProcessInfo.processInfo.processIdentifier
        #expect(status.writeLockHolder == "instances p1, p2 (process \(process))")
        #expect(status.heldBack()?.reason == .writeLockHeld(by: "instances p1, p2 (process \(process))"))
        try await other.writeWithoutTransaction { try $0.execute(sql: "ROLLBACK") }
        #expect(try await store.status(of: stream)?.heldBack()?.reason == .silent)
    }

    @Test func `a writer whose process is gone is known by its file, whatever the clock says`() async throws {
        let folder = try TemporaryFolder()
        let clock = ManualWallClock(10_000_000)
        let killed = try await folder.open(.init(wallClockMilliseconds: { clock.now }))
        let store = try await folder.open(.init(wallClockMilliseconds: { clock.now }))
        let lost = try await killed.join(stream, as: "p1").writer
        _ = try await killed.allocate(1, in: stream, for: lost)
        let writer = try await store.join(stream, as: "p2").writer
        _ = try await store.persist(events("a"), in: stream, by: writer)
        await killed.close()
        clock.now -= 3_600_000
        let status = try #require(try await store.status(of: stream))
        #expect(status.writers.map(\.isProcessGone) == [true, false])
        #expect(status.writers.first?.heartbeatAgeMilliseconds == 0)
        #expect(status.heldBack()?.reason == .gone)
    }

    /// SQLite can move nothing behind a reader's snapshot into the database.
    @Test func `a -wal that a reader keeps large is named with the reader, and is cut down after it`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        let script = """
            import sqlite3, sys
            connection = sqlite3.connect(sys.argv[1], isolation_level=None)
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM tidemark_events").fetchone()
            print("reads", flush=True)
            sys.stdin.readline()
            """
        let reader = try Program(
            executable: URL(filePath: "/usr/bin/env"), ["python3", "-c", script, folder.database])
        try await reader.waitForLines(1)
        for index in 0..<20 {
            let event = Event(id: "large\(index)", type: "noted", payload: Array(repeating: 7, count: 1 << 20))
            _ = try await store.persist([event], in: stream, by: writer)
        }
        let log = try #require(try await store.status(of: stream)?.log)
        #expect(log.bytes > WriteAheadLog.sizeLimit)
        #expect(log.keptBy.count == 1 && log.keptBy[0].hasPrefix("process \(reader.processIdentifier) (python"))
        try await reader.killAndWait()
        // The next commit moves everything, and the one after that begins the file again.
        _ = try await store.persist(events("a"), in: stream, by: writer)
        _ = try await store.persist(events("b"), in: stream, by: writer)
        let after = try #require(try await store.status(of: stream)?.log)
        #expect(after.bytes <= WriteAheadLog.sizeLimit && after.keptBy.isEmpty)
    }

    @Test func `writers and consumers come by name, with what the database knows of them`() async throws {
        let folder = try TemporaryFolder()
        let clock = ManualWallClock(5_000)
        let store = try await folder.open(.init(wallClockMilliseconds: { clock.now }))
        _ = try await store.join(stream, as: "p2")
        _ = try await store.join(stream, as: "p1")
        _ = try await store.claimConsumer("mails", in: stream)
        _ = try await store.claimConsumer("audit", in: stream)
        clock.now = 4_000
        let status = try await store.status(of: stream)
        #expect(status?.writers.map(\.writer) == [Writer("p1", epoch: 1), Writer("p2", epoch: 1)])
        #expect(status?.writers.first?.processID == ProcessInfo.processInfo.processIdentifier)
        // The wall clock was put back: no age is below zero.
        #expect(status?.writers.first?.heartbeatAgeMilliseconds == 0)
        #expect(status?.consumers.map(\.name) == ["audit", "mails"])
    }
}
