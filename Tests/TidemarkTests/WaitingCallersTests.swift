import Synchronization
import TestSupport
import Testing
import TidemarkTesting

@testable import Tidemark

/// Callers that wait for the persister, and leave, and have limits.
@Suite struct WaitingCallersTests {
    let scene = EventPersisterTests()

    //  first    four in the queue    sixteen outside    twenty behind them
    //  commits
    //           are cancelled        are cancelled
    //  is done
    //                                                   are all persisted
    @Test func `callers that are cancelled while they wait for room take nobody's turn with them`() async throws {
        let log = try await scene.open { $0.waitingEvents = 4 }
        let gate = Gate()
        _ = scene.hold(gate)
        let first = Task { try await log.persist(scene.event("first")) }
        await gate.arrivals()
        var callers: [Task<StreamID, any Error>] = []
        for number in 0..<40 {
            callers.append(Task { try await log.persist(scene.event("e\(number)")) })
            while log.persister.waitingCount + log.persister.outsideCount <= number { await Task.yield() }
        }
        #expect(log.persister.waitingCount == 4 && log.persister.outsideCount == 36)
        for caller in callers.prefix(20) { caller.cancel() }
        // One that is counted may not have come to where it hears of that.
        while log.persister.waitingCount + log.persister.outsideCount > 20 { await Task.yield() }
        gate.open()
        #expect(try await first.value == 1)
        for caller in callers.prefix(20) {
            await #expect(throws: CancellationError.self) { try await caller.value }
        }
        for (number, caller) in callers.dropFirst(20).enumerated() {
            #expect(try await caller.value == StreamID(Int64(number) + 2))
        }
        await log.shutDown()
    }

    //  0 s    a: its group waits for the lock
    //  4 s    b waits behind it
    //  6 s    c waits behind it
    //  10 s   a's wait is over; b and c are a group, which has waited for 6 s
    //  14 s   b's wait is over; c is a group, which has waited for 8 s
    //         the lock is free
    @Test func `each caller waits for a lock as long as the limit says, whatever group it is in`() async throws {
        let clock = ManualClock()
        let log = try await EventLog.open(scene.store, instance: "p1", time: TimeSource(clock))
        let held = TidemarkError.writeLockHeld(store: "memory", by: "process 7", limit: .seconds(10))
        let gates = [Gate(), Gate()]
        let waits = Mutex<[Duration]>([])
        scene.store.setHook { operation, moment in
            guard operation == .persist, moment == .before else { return }
            let attempt = waits.withLock { waits in
                waits.append(WriteWait.before)
                return waits.count
            }
            guard attempt <= gates.count else { return }
            await gates[attempt - 1].pass()
            throw held
        }
        let a = Task { try await log.persist(scene.event("a")) }
        await gates[0].arrivals()
        clock.advance(by: .seconds(4))
        let b = Task { try await log.persist(scene.event("b")) }
        await scene.waiting(1, in: log)
        clock.advance(by: .seconds(2))
        let c = Task { try await log.persist(scene.event("c")) }
        await scene.waiting(2, in: log)
        clock.advance(by: .seconds(4))
        gates[0].open()
        await #expect(throws: held) { try await a.value }
        await gates[1].arrivals()
        clock.advance(by: .seconds(4))
        gates[1].open()
        await #expect(throws: held) { try await b.value }
        #expect(try await c.value == 1)
        #expect(waits.withLock { $0 } == [.zero, .seconds(6), .seconds(8)])
        #expect(scene.store.database.streams["events"]?.events.map(\.event.id) == ["c"])
    }
}
