import Synchronization
import Logging
import TestSupport
import Testing
import TidemarkTesting

@testable import Tidemark

/// A log that runs watches the others by itself, on a clock that the test moves.
@Suite struct WatchingTests {
    let scene = ClosingTests()
    let lines = LogLines()

    /// A writer that never beats and holds ID 1, and one that runs and has committed ID 2.
    func withDeadAndRunning(
        _ change: (inout EventLogConfiguration) -> Void = { _ in }, _ body: (EventLog) async throws -> Void
    ) async throws {
        let dead = try await scene.open("p1")
        let alive = try await scene.open("p2", lines: lines, change)
        let gate = Gate()
        let scope = await scene.hold("lost", in: dead, until: gate)
        try await dead.generator.beat(as: try #require(dead.writer))
        try await alive.persist(scene.event("a"))
        let running = Task { try await alive.run() }
        try await body(alive)
        running.cancel()
        try await running.value
        gate.open()
        _ = await scope.result
        await dead.shutDown()
    }

    /// Moves the clock on when everybody has done what was due: the timers of both logs sleep, and nothing is under way.
    func step(_ log: EventLog) async {
        await scene.clock.waitForSleepers(2)
        while log.generator.state.withLock({ $0.machine.isBusy }) { await Task.yield() }
        scene.clock.advance(by: .milliseconds(125))
    }

    func stepsUntilClosed(_ log: EventLog, limit: Int = 200) async -> Int {
        for steps in 0..<limit {
            if scene.isClosed("p1") { return steps }
            await step(log)
        }
        return limit
    }

    @Test func `a silent writer is closed after the timeout and the minimum passes`() async throws {
        try await withDeadAndRunning { alive in
            let steps = await stepsUntilClosed(alive)
            #expect((40...46).contains(steps))
            await step(alive)
            #expect(alive.generator.minimumPersistedPosition == 2)
            let closed = lines.lines("closed a writer")
            #expect(closed.map(\.level) == [.notice])
            #expect(closed.first?.metadata["writer"] == "p1")
            #expect(closed.first?.metadata["epoch"] == "1")
            #expect(closed.first?.metadata["position"] == "2")
        }
    }

    @Test func `one whose process is gone is closed within a second`() async throws {
        try await withDeadAndRunning { alive in
            for _ in 0..<10 { await step(alive) }
            #expect(!scene.isClosed("p1"))
            scene.store.endProcess(of: "p1", in: "events")
            #expect(await stepsUntilClosed(alive) <= 4)
            await step(alive)
            #expect(alive.generator.minimumPersistedPosition == 2)
        }
    }

    @Test func `a silent writer is retired`() async throws {
        try await withDeadAndRunning({ $0.retirementTimeout = .seconds(10) }) { alive in
            while alive.generator.positions["p1"] != nil { await step(alive) }
            #expect((.seconds(10)...(.seconds(11))).contains(scene.clock.now.offset))
            #expect(lines.lines("retired a writer").map { $0.metadata["writer"] } == ["p1"])
        }
    }

    @Test func `who holds the minimum back is logged once and then once a minute`() async throws {
        try await withDeadAndRunning({ $0.closesSilentWriters = false }) { alive in
            func count() -> Int { lines.lines("events wait: the minimum has stood still").count }
            for _ in 0..<40 { await step(alive) }
            #expect(count() == 0)
            for _ in 0..<20 { await step(alive) }
            // The database is asked who it is, and the steps do not wait for that.
            try await eventually("it is said") { count() == 1 }
            for _ in 0..<460 { await step(alive) }
            #expect(count() == 1)
            for _ in 0..<40 { await step(alive) }
            try await eventually("it is said again") { count() > 1 }
            let said = lines.lines("events wait: the minimum has stood still")
            #expect(said.count == 2)
            #expect(said[0].metadata["held_back_by"].map { "\($0)".hasPrefix("p1: ID 1 is in flight") } == true)
            #expect(said[0].metadata["newest_event"] == "2")
        }
    }
}
