import TestSupport
import Testing
import Tidemark
@testable import TidemarkSQLite

@Suite struct HeartbeatTests {
    @Test func `a heartbeat raises the durable position, never lowers it, and tells the newest row`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let one = try await store.join(stream, as: "p1").writer
        let two = try await store.join(stream, as: "p2").writer
        _ = try await store.persist(events("a", "b"), in: stream, by: two)
        let id = try await store.allocate(1, in: stream, for: two)
        #expect(try await store.beat(one, at: 2) == .alive(newestCommitted: 2, durablePosition: 2))
        #expect(try await store.beat(one, at: 1) == .alive(newestCommitted: 2, durablePosition: 2))
        _ = try await store.abandon(id, in: stream, by: two)
        #expect(try await store.beat(one, at: 1) == .alive(newestCommitted: 3, durablePosition: 2))
        await #expect(throws: TidemarkError.closed(stream: stream, instance: "p1", id: 2)) {
            try await store.persist(events("c")[0], as: 2, in: stream, by: one)
        }
    }

    @Test func `a promise above the sequence is not written down`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        let error = await #expect(throws: TidemarkError.self) { try await store.beat(writer, at: 7) }
        guard case .databaseWentBackwards(_, 7, _) = error else {
            return #expect(Bool(false), "\(String(describing: error))")
        }
        #expect(try await store.persist(events("a"), in: stream, by: writer) == [.persisted(1)])
    }

    @Test func `the beats of a process come in one call and are answered in their order`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let one = try await store.join(stream, as: "p1").writer
        let other = try await store.join("other", as: "p1").writer
        try await store.retire("other", instance: "p1")
        let answers = try await store.heartbeat([
            Heartbeat(stream: "other", writer: other, position: 0),
            Heartbeat(stream: stream, writer: one, position: 0),
        ])
        #expect(answers == [.retired, .alive(newestCommitted: 0, durablePosition: 0)])
        #expect(try await store.heartbeat([]).isEmpty)
    }

    @Test func `what is in flight is there for status until a later beat`() async throws {
        let folder = try TemporaryFolder()
        let clock = ManualWallClock(10_000)
        let store = try await folder.open(.init(wallClockMilliseconds: { clock.now }))
        let writer = try await store.join(stream, as: "p1").writer
        let ids = try await store.allocate(3, in: stream, for: writer)
        _ = try await store.heartbeat([
            Heartbeat(
                stream: stream, writer: writer, position: 0, inFlight: 3, lowestInFlight: ids[0],
                inFlightMilliseconds: 400)
        ])
        clock.now += 100
        let status = try await store.status(of: stream)?.writers.first
        #expect(status?.inFlight == 3)
        #expect(status?.lowestInFlight == 1)
        #expect(status?.inFlightMilliseconds == 500)
        #expect(status?.heartbeatAgeMilliseconds == 100)
        _ = try await store.beat(writer, at: 0)
        #expect(try await store.status(of: stream)?.writers.first?.inFlightMilliseconds == nil)
    }

    @Test func `beats that wait are written together, and a wrong one fails its own caller only`() async throws {
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writers = try await withThrowingTaskGroup(of: Writer.self) { group in
            for index in 0..<4 {
                group.addTask {
                    try await store.join(stream, as: InstanceName(validating: "p\(index)")).writer
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for index in 0..<64 {
                group.addTask {
                    do {
                        let position: StreamID = index % 8 == 0 ? 9 : 0
                        return try await store.beat(writers[index % 4], at: position) != nil
                    } catch TidemarkError.databaseWentBackwards {
                        return false
                    }
                }
            }
            let answered = try await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
            #expect(answered == 56)
        }
    }
}
