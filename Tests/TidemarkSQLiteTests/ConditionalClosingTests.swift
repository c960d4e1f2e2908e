import Foundation
import GRDB
import Synchronization
import TestSupport
import Testing
import Tidemark

@testable import TidemarkSQLite

/// Closing and retiring by those who watch, as far as it needs the clock that a store is opened with, the files of processes,
/// or a file that is opened only for reading. Two stores stand for two processes.
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
}
