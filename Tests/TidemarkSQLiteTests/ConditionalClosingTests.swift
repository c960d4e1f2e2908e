import Foundation
import GRDB
import Synchronization
import TestSupport
import Testing
import Tidemark

@testable import TidemarkSQLite

/// Closing and retiring by those who watch: only what still is as it was observed. Two stores stand for two processes.
@Suite struct ConditionalClosingTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// A store for which no time passes, so that nothing comes late.
    func open() async throws -> SQLiteEventStore { try await folder.open(.init(awakeTime: { .zero })) }

    func observation(of instance: InstanceName, by store: SQLiteEventStore) async throws -> WriterObservation {
        let found = try await store.reconciliation(of: stream, above: 0, limit: 0)
        return try #require(found?.observations.first { $0.writer.instance == instance })
    }

    @Test func `members are observed with their heartbeats and positions, and others are not`() async throws {
        let store = try await folder.open(.init(awakeTime: { .seconds(7) }))
        let one = try await store.join(stream, as: "p1").writer
        let two = try await store.join(stream, as: "p2").writer
        _ = try await store.allocate(2, in: stream, for: one)
        _ = try await store.beat(one, at: 2)
        try await store.leave(stream, as: two)
        let observations = try await store.reconciliation(of: stream, above: 0, limit: 0)?.observations
        #expect(observations == [WriterObservation(writer: one, heartbeat: 1, position: 2, readAt: .seconds(7))])
    }

    @Test func `who is as observed is closed`() async throws {
        let store = try await open()
        let writer = try await store.join(stream, as: "p1").writer
        let ids = try await store.allocate(3, in: stream, for: writer)
        let observed = try await observation(of: "p1", by: store)
        #expect(try await store.closeWriter(stream, observed: observed) == 3)
        #expect(try await store.status(of: stream)?.writers.first?.isClosed == true)
        await #expect(throws: TidemarkError.closed(stream: stream, instance: "p1", id: 3)) {
            try await store.persist(events("a")[0], as: ids[2], in: stream, by: writer)
        }
        // Somebody else's closing is no longer what was observed.
        #expect(try await store.closeWriter(stream, observed: observed) == nil)
    }

    @Test func `a heartbeat in between prevents closing and retiring`() async throws {
        let store = try await open()
        let writer = try await store.join(stream, as: "p1").writer
        let ids = try await store.allocate(1, in: stream, for: writer)
        let observed = try await observation(of: "p1", by: store)
        _ = try await store.beat(writer, at: 0)
        #expect(try await store.closeWriter(stream, observed: observed) == nil)
        #expect(try await store.retire(stream, observed: observed) == false)
        #expect(try await store.persist(events("a")[0], as: ids[0], in: stream, by: writer) == .persisted(1))
    }

    @Test func `a new epoch in between prevents closing and retiring, also when the process is gone`() async throws {
        let dead = try await open()
        let store = try await open()
        _ = try await dead.join(stream, as: "p1")
        await dead.close()
        let observed = try await observation(of: "p1", by: store)
        #expect(observed.isProcessGone)
        let heir = try await store.join(stream, as: "p1").writer
        let ids = try await store.allocate(1, in: stream, for: heir)
        #expect(try await store.closeWriter(stream, observed: observed) == nil)
        #expect(try await store.retire(stream, observed: observed) == false)
        #expect(try await store.persist(events("a")[0], as: ids[0], in: stream, by: heir) == .persisted(1))
    }

    @Test func `who is as observed is retired, with a new membership version`() async throws {
        let store = try await open()
        let writer = try await store.join(stream, as: "p1").writer
        let observed = try await observation(of: "p1", by: store)
        let version = try await store.version()
        #expect(try await store.retire(stream, observed: observed))
        let after = try await store.reconciliation(of: stream, above: 0, limit: 0)
        #expect(after?.membership.members == [:])
        #expect(try #require(after).membership.version > version)
        #expect(after?.observations == [])
        await #expect(throws: TidemarkError.retired(stream: stream, writer: writer)) {
            try await store.persist(events("a"), in: stream, by: writer)
        }
        #expect(try await store.retire(stream, observed: observed) == false)
        #expect(try await store.closeWriter(stream, observed: observed) == nil)
    }

    /// Whoever waited for the same lock to write a heartbeat comes first.
    @Test func `a transaction that begins more than a second after the observation does nothing`() async throws {
        let clock = Clock(time: .zero)
        let store = try await folder.open(.init(awakeTime: { clock.now }))
        let writer = try await store.join(stream, as: "p1").writer
        _ = try await store.allocate(2, in: stream, for: writer)
        let observed = try await observation(of: "p1", by: store)
        clock.now = .seconds(1) + .milliseconds(1)
        #expect(try await store.closeWriter(stream, observed: observed) == nil)
        #expect(try await store.retire(stream, observed: observed) == false)
        clock.now = .seconds(1)
        #expect(try await store.closeWriter(stream, observed: observed) == 2)
    }

    final class Clock: Sendable {
        private let time: Mutex<Duration>
        init(time: Duration) { self.time = Mutex(time) }
        var now: Duration {
            get { time.withLock { $0 } }
            set { time.withLock { $0 = newValue } }
        }
    }

    // MARK: Gone

    @Test func `whose process is gone is closed whatever its heartbeat, and however late`() async throws {
        let clock = Clock(time: .zero)
        let dead = try await open()
        let store = try await folder.open(.init(awakeTime: { clock.now }))
        let writer = try await dead.join(stream, as: "p1").writer
        _ = try await dead.allocate(2, in: stream, for: writer)
        #expect(try await !observation(of: "p1", by: store).isProcessGone)
        await dead.close()
        let observed = try await observation(of: "p1", by: store)
        #expect(observed.isProcessGone)
        clock.now = .seconds(60)
        let other = WriterObservation(
            writer: observed.writer, heartbeat: 99, position: observed.position, isProcessGone: true)
        #expect(try await store.closeWriter(stream, observed: other) == 2)
    }

    @Test func `one process that is gone takes all its writers with it, and no other's`() async throws {
        let dead = try await open()
        let store = try await open()
        _ = try await dead.join(stream, as: "p1")
        _ = try await dead.join(stream, as: "p2")
        _ = try await store.join(stream, as: "p3")
        await dead.close()
        let observations = try await store.reconciliation(of: stream, above: 0, limit: 0)?.observations ?? []
        let gone = observations.filter(\.isProcessGone).map(\.writer.instance.rawValue)
        #expect(gone.sorted() == ["p1", "p2"])
    }

    @Test func `whose file was removed is not closed once its heartbeat has named another`() async throws {
        let store = try await open()
        let other = try await open()
        let writer = try await other.join(stream, as: "p1").writer
        let files = other.directory + "/processes"
        for name in try FileManager.default.contentsOfDirectory(atPath: files) {
            try FileManager.default.removeItem(atPath: files + "/" + name)
        }
        let observed = try await observation(of: "p1", by: store)
        #expect(observed.isProcessGone)
        _ = try await other.beat(writer, at: 0)
        #expect(try await store.closeWriter(stream, observed: observed) == nil)
        #expect(try await !observation(of: "p1", by: store).isProcessGone)
    }

    @Test func `a row without a file says nothing of its process`() async throws {
        let store = try await open()
        _ = try await store.join(stream, as: "p1")
        try await store.transact { db in try db.execute(sql: "UPDATE tidemark_instances SET process_file = NULL") }
        #expect(try await !observation(of: "p1", by: store).isProcessGone)
    }

    // MARK: Writing

    @Test func `a store that only reads observes, removes nothing, and closes nobody`() async throws {
        let dead = try await open()
        let keeper = try await open()
        _ = try await dead.join(stream, as: "p1")
        await dead.close()
        let left = keeper.directory + "/processes/left"
        try Data().write(to: URL(filePath: left))
        try await keeper.transact { db in try db.execute(sql: "UPDATE tidemark_instances SET process_file = 'left'") }
        let reader = try await folder.open(.init(readOnly: true))
        let observed = try await observation(of: "p1", by: reader)
        #expect(observed.isProcessGone && FileManager.default.fileExists(atPath: left))
        await #expect(throws: TidemarkError.readOnly(store: reader.path)) { try await reader.checkWritable() }
        await #expect(throws: TidemarkError.readOnly(store: reader.path)) {
            try await reader.closeWriter(stream, observed: observed)
        }
        try await keeper.checkWritable()
    }

    @Test func `an unknown stream or instance is an error of its own`() async throws {
        let store = try await open()
        let stranger = WriterObservation(writer: Writer("p9", epoch: 1), heartbeat: 1, position: 0)
        await #expect(throws: TidemarkError.unknownStream(stream: stream, store: store.path)) {
            try await store.closeWriter(stream, observed: stranger)
        }
        _ = try await store.join(stream, as: "p1")
        await #expect(throws: TidemarkError.unknownInstance(stream: stream, instance: "p9")) {
            try await store.retire(stream, observed: stranger)
        }
    }
}
