import Foundation
import TestSupport
import Testing
import Tidemark
import TidemarkSQLite

@Suite struct StatusTests {
    @Test func `the minimum is the least durable position, and goes on as far as rows run without a gap`() async throws
    {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let one = try await store.join(stream, as: "p1").writer
        let two = try await store.join(stream, as: "p2").writer
        let held = try await store.allocate(1, in: stream, for: two)[0]
        _ = try await store.persist(events("b", "c"), in: stream, by: one)
        #expect(try await store.status(of: stream)?.minimumPersisted == 0)
        _ = try await store.persist(events("a")[0], as: held, in: stream, by: two)
        #expect(try await store.status(of: stream)?.minimumPersisted == 3)
        _ = try await store.allocate(4, in: stream, for: one)
        _ = try await store.beat(one, at: 2)
        _ = try await store.close(stream, instance: "p2")
        #expect(try await store.status(of: stream)?.minimumPersisted == 3)
        _ = try await store.close(stream, instance: "p1")
        #expect(try await store.status(of: stream)?.minimumPersisted == 7)
    }

    @Test func `without members the minimum is the newest row`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        _ = try await store.allocate(3, in: stream, for: writer)
        _ = try await store.persist(events("a"), in: stream, by: writer)
        try await store.leave(stream, as: writer)
        let status = try await store.status(of: stream)
        #expect(status?.minimumPersisted == 4)
        #expect(status?.newestEvent == 4)
        #expect(status?.writers.map(\.isMember) == [false])
        #expect(try await store.status(of: "none") == nil)
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
