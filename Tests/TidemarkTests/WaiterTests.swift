import Synchronization
import TestSupport
import Testing
import TidemarkTesting

@testable import Tidemark

@Suite struct WaiterTests {
    let clock = ManualClock()
    var time: TimeSource { TimeSource(clock) }

    @Test func `what is decided before somebody waits is kept, and the first decision counts`() async {
        let waiter = Waiter<Int>()
        #expect(!waiter.isResolved && waiter.takeIfResolved() == nil)
        #expect(waiter.resolve(1) && !waiter.resolve(2))
        #expect(waiter.isResolved)
        #expect(await waiter.value() == 1)
        #expect(!waiter.resolve(3) && waiter.isResolved && waiter.takeIfResolved() == nil)
    }

    @Test func `whoever waits is woken by the first decision`() async {
        let waiter = Waiter<Int>()
        let waiting = Task.immediate { await waiter.value() }
        #expect(waiter.resolve(1) && !waiter.resolve(2))
        #expect(await waiting.value == 1)
    }

    @Test func `a deadline that passes decides, and what comes later does not`() async {
        let waiter = Waiter<String>()
        let waiting = Task { [time] in
            await waiter.value(until: .seconds(1), on: time, late: "late", cancelled: "cancelled")
        }
        await clock.waitForSleepers(1)
        clock.advance(by: .seconds(1))
        #expect(await waiting.value == "late")
        #expect(!waiter.resolve("in time"))
    }

    @Test func `what comes before the deadline decides`() async {
        let waiter = Waiter<String>()
        let waiting = Task { [time] in
            await waiter.value(until: .seconds(1), on: time, late: "late", cancelled: "cancelled")
        }
        await clock.waitForSleepers(1)
        #expect(waiter.resolve("in time"))
        #expect(await waiting.value == "in time")
    }

    @Test(arguments: [true, false])
    func `a task that is cancelled waits no longer`(before: Bool) async {
        let waiter = Waiter<String>()
        let waiting = Task.immediate { [time] in
            if before { withUnsafeCurrentTask { $0?.cancel() } }
            return await waiter.value(until: nil, on: time, late: "late", cancelled: "cancelled")
        }
        if !before { waiting.cancel() }
        #expect(await waiting.value == "cancelled")
    }

    @Test func `a caller that is cancelled leaves the task to others`() async throws {
        let gate = Gate()
        let shared = Task<Int, any Error> {
            await gate.pass()
            return 7
        }
        let cancelled = Task.immediate { try await valueUnlessCancelled(of: shared) }
        let patient = Task.immediate { try await valueUnlessCancelled(of: shared) }
        cancelled.cancel()
        await #expect(throws: CancellationError.self) { try await cancelled.value }
        #expect(!shared.isCancelled)
        gate.open()
        #expect(try await patient.value == 7)
    }

    @Test func `what takes longer than its limit is cancelled and not waited for`() async {
        let gate = Gate()
        let wasCancelled = Waiter<Void>()
        let limited = Task { [time] in
            await Tidemark.limited(until: .seconds(1), on: time) {
                await withTaskCancellationHandler {
                    await gate.pass()
                } onCancel: {
                    wasCancelled.resolve(())
                }
                return 1
            }
        }
        await clock.waitForSleepers(1)
        clock.advance(by: .seconds(1))
        #expect(await limited.value == nil)
        await wasCancelled.value()
        gate.open()
        #expect(await Tidemark.limited(until: .seconds(9), on: time) { 2 } == 2)
    }
}

@Suite struct CheckpointWaitersTests {
    let waiters = CheckpointWaiters()

    @Test func `a checkpoint wakes those whose place it has reached, and nobody else`() {
        let (_, low) = waiters.add("mailer", 3)
        let (_, high) = waiters.add("mailer", 5)
        let (_, other) = waiters.add("printer", 3)
        waiters.isSaid("mailer", at: 2)
        #expect(!low.isResolved)
        waiters.isSaid("mailer", at: 4)
        #expect(low.takeIfResolved() == true && !high.isResolved && !other.isResolved)
        waiters.isSaid("mailer", at: StreamID(.max))
        #expect(high.takeIfResolved() == true && !other.isResolved)
    }

    @Test func `whoever is removed is not told, and nothing is kept of it`() {
        let (number, waiter) = waiters.add("mailer", 3)
        _ = waiters.add("mailer", 3)
        waiters.remove(number, of: "printer")
        #expect(waiters.count == 2)
        waiters.remove(number, of: "mailer")
        #expect(waiters.count == 1)
        waiters.isSaid("mailer", at: 9)
        #expect(!waiter.isResolved)
    }
}
