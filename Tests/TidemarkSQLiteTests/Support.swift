import Foundation
import GRDB
import Synchronization
import TestSupport
import Tidemark
import TidemarkSQLite

extension TemporaryFolder {
    func open(_ configuration: SQLiteConfiguration = .init()) async throws -> SQLiteEventStore {
        try await SQLiteEventStore.open(path: database, configuration: configuration)
    }

    /// A copy of the database as it is now.
    func backUp() throws -> DatabaseQueue {
        let copy = try DatabaseQueue()
        try DatabaseQueue(path: database).backup(to: copy)
        return copy
    }

    /// Puts the copy into the file that everyone has open, through SQLite itself.
    func restore(_ copy: DatabaseQueue) throws {
        try copy.backup(to: DatabaseQueue(path: database))
    }
}

let stream: StreamName = "events"

/// Events `a`, `b`, … that differ in nothing but their ids.
func events(_ ids: String...) -> [Event] {
    ids.map { Event(id: $0, type: "noted", payload: Array($0.utf8)) }
}

func events(_ ids: Range<Int>) -> [Event] {
    ids.map { Event(id: "e\($0)", type: "noted", payload: [1, 2, 3]) }
}

extension EventStore {
    /// All events up to `through`, whatever the membership.
    func all(through: StreamID = StreamID(.max), limit: Int = .max) async throws -> [PersistedEvent] {
        let version = try await version()
        let request = SnapshotRequest(
            delivered: nil, membershipVersion: version, after: 0, through: through, limit: limit, byteLimit: .max)
        return try await snapshot(of: stream, request)?.events ?? []
    }

    /// The membership version, which grows by random steps.
    func version() async throws -> Int {
        try await reconciliation(of: stream, above: 0, limit: 0)?.membership.version ?? 0
    }

    func finished() async throws -> [ClosedRange<StreamID>]? {
        try await reconciliation(of: stream, above: 0, limit: .max)?.finished
    }

    func beat(_ writer: Writer, at position: StreamID) async throws -> HeartbeatAnswer? {
        try await heartbeat([Heartbeat(stream: stream, writer: writer, position: position)]).first
    }
}

extension CommitMark {
    /// How many commits there were up to it.
    var place: Int64 { rawValue >> 20 }
}

extension SnapshotMark {
    /// How many commits it had seen.
    var place: Int64? { newestCommit.map { $0 >> 20 } }
}

/// A wall clock that a test moves.
final class ManualWallClock: Sendable {
    private let time: Mutex<Int64>

    init(_ start: Int64) { time = Mutex(start) }

    var now: Int64 {
        get { time.withLock { $0 } }
        set { time.withLock { $0 = newValue } }
    }
}

final class Counter: Sendable {
    private let count = Mutex(0)

    func add() { count.withLock { $0 += 1 } }
    var value: Int { count.withLock { $0 } }
}

/// A clock that a test moves.
final class ManualTime: Sendable {
    private let time = Mutex(Duration.zero)

    var now: Duration { time.withLock { $0 } }
    func advance(by duration: Duration) { time.withLock { $0 += duration } }
}
