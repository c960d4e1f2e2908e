import Synchronization
import Testing
import TidemarkTesting

@testable import Tidemark

/// What errors say that a caller may do.
@Suite struct ErrorKindTests {
    let scene = EventPersisterTests()

    /// As the README shows it.
    private func persist(_ event: Event, in log: EventLog) async throws -> StreamID {
        for delay in [0.001, 0.002, 0.003] {
            do {
                return try await log.persist(event)
            } catch let error as TidemarkError where error.kind == .tryAgain {
                try await Task.sleep(for: .seconds(delay))
            }
        }
        return try await log.persist(event)
    }

    @Test func `an event whose answer was lost is persisted again, and is there once`() async throws {
        let log = try await scene.open()
        let failures = Mutex(2)
        scene.store.setHook { operation, moment in
            guard operation == .persist, moment == .after else { return }
            try failures.withLock { failures in
                guard failures > 0 else { return }
                failures -= 1
                throw TidemarkError.storeUnavailable(store: "memory", problem: "the answer was lost")
            }
        }
        #expect(try await persist(scene.event("a"), in: log) == 1)
        #expect(scene.store.database.streams["events"]?.events.map(\.event.id) == ["a"])
        await log.shutDown()
    }

    @Test func `what cannot go better later is not tried again`() async throws {
        let log = try await scene.open()
        #expect(TidemarkError.invalidEvent(stream: "events", id: "", problem: "").kind == .callerMistake)
        await log.shutDown()
        let error = await #expect(throws: TidemarkError.self) { try await persist(scene.event("a"), in: log) }
        #expect(error?.kind == .final)
        #expect(TidemarkError.writeLockHeld(store: "", by: nil, limit: .seconds(1)).kind == .tryAgain)
    }

    @Test func `what ends a log for good is final`() {
        let writer = Writer("p1", epoch: 1)
        let errors: [TidemarkError] = [
            .instanceTaken(stream: "events", writer: writer, by: nil),
            .databaseWentBackwards(stream: "events", id: 1, problem: ""),
            .sequenceWentBackwards(stream: "events", instance: "p1", id: 1, known: 2),
            .databaseReplaced(store: ""), .notADatabase(store: "", problem: ""),
            .retired(stream: "events", writer: writer),
            .storeFull(store: ""), .closed(stream: "events", instance: "p1", id: 1),
        ]
        for error in errors { #expect((error.kind == .final) == error.isFinal, "\(error)") }
    }

    /// As when its `-wal` was cut off: what is there later is not what was read and written before.
    @Test func `a log whose file was no database ends, also where it is one again`() async throws {
        let log = try await scene.open()
        let error = TidemarkError.notADatabase(store: "memory", problem: "its -wal was cut off")
        scene.store.setHook { operation, moment in
            if operation == .persist, moment == .before { throw error }
        }
        await #expect(throws: error) { try await log.persist(scene.event("a")) }
        scene.store.setHook(nil)
        await #expect(throws: error) { try await log.persist(scene.event("b")) }
        await log.shutDown()
    }
}
