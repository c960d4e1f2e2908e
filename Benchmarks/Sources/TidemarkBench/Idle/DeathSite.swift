import Foundation

/// A database with a busy writer and a reader, where one writer after the other dies.
final class DeathSite {
    private let options: BenchOptions
    private let folder: ScenarioFolder
    private let busy: ChildProcess
    private let reader: ChildProcess
    private let shared: [String]
    private var random: SeededRandom
    private var victims = 0

    init(options: BenchOptions, seed: UInt64) async throws {
        self.options = options
        random = SeededRandom(seed: seed)
        folder = try ScenarioFolder(options)
        shared = ["--database", folder.path("events.db"), "--mode", Mode.default.rawValue, "--data", options.data]
        busy = try ChildProcess(name: "the busy writer", arguments: ["worker", "--instance", "busy"] + shared)
        _ = try await busy.lines(until: "ready")
        reader = try ChildProcess(name: "the reader", arguments: ["reader"] + shared)
        _ = try await reader.lines(until: "ready")
        // More than it ever comes to: it is ended, not finished.
        try busy.send("paced 0 10000000 \(DeadScenario.rate)")
    }

    /// A new writer joins, takes an ID and dies. Nanoseconds from then until an event above that ID has arrived.
    func timeUntilPassed(_ end: DeadScenario.End) async throws -> Int64 {
        victims += 1
        let victim = try ChildProcess(
            name: "victim \(victims)", arguments: ["worker", "--instance", "victim\(victims)"] + shared)
        defer { victim.kill() }
        _ = try await victim.lines(until: "ready")
        guard let id = try await victim.ask("hang 1").first.flatMap({ Int64($0) }) else {
            throw Failure("\(victim.name) did not say which ID it holds")
        }
        // Anywhere between two heartbeats, and between two looks of those who watch.
        try await Task.sleep(for: .milliseconds(Int.random(in: 0..<1_000, using: &random)))
        let died = try await die(victim, end)
        return try await arrival(above: id) - died
    }

    private func die(_ victim: ChildProcess, _ end: DeadScenario.End) async throws -> Int64 {
        for _ in 0..<100 {
            let died = MonotonicTime.now
            switch end {
            case .killed:
                victim.kill()
                return died
            case .stopped:
                victim.stop()
                if !WriteLock.isHeld(by: victim.processID) { return died }
                // In the middle of its heartbeat's transaction: nobody could write then, which is another thing than a
                // silent writer.
                victim.goOn()
                // That transaction takes less.
                try await Task.sleep(for: .milliseconds(5))
            }
        }
        throw Failure("\(victim.name) was always found inside a transaction")
    }

    private func arrival(above id: Int64) async throws -> Int64 {
        let deadline = ContinuousClock.now + .seconds(60)
        while ContinuousClock.now < deadline {
            if let line = try await reader.ask("above \(id)").first { return try Arrival(line: line).time }
            // The answer has the time of the arrival: to ask late costs nothing.
            try await Task.sleep(for: .milliseconds(50))
        }
        throw Failure("the minimum did not pass \(id), which a dead writer held, within a minute")
    }

    func end() {
        busy.kill()
        reader.end()
        folder.remove()
    }
}

/// SQLite's write lock in WAL mode: a POSIX lock on byte 120 of the `-shm` file, which Linux lists.
enum WriteLock {
    static func isHeld(by processID: Int32) -> Bool {
        guard let locks = try? String(contentsOfFile: "/proc/locks", encoding: .utf8) else { return false }
        return locks.split(separator: "\n").contains { line in
            let fields = line.split(separator: " ")
            return fields.count == 8 && fields[1] == "POSIX" && fields[3] == "WRITE" && fields[4] == "\(processID)"
                && fields[6] == "120"
        }
    }
}
