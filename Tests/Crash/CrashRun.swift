import ArgumentParser
import Foundation
import TestSupport
import Tidemark

/// Four writers, two readers, and an observer in this process that only reads and closes nobody.
struct CrashRun {
    static let writers = (1...4).map { "w\($0)" }
    static let readers = ["r1", "r2"]

    let children: Children
    let participant: Participant
    let longestStop: Double
    var random: SplitMix64
    var observer: EventLog?
    private var service: Task<Void, any Error>?
    /// How often each name was started.
    private var starts: [String: Int] = [:]
    /// Of writers that were killed while nobody was stopped.
    private(set) var passed = Figures()
    /// Of writers that were killed while another process was stopped.
    private(set) var passedBesideStopped = Figures()
    private(set) var stops = Figures()
    private(set) var kills: [String: Int] = [:]

    init(folder: String, seed: UInt64, longestStop: Double) throws {
        children = Children(folder: folder)
        participant = try Participant.parse(["--folder", folder])
        self.longestStop = longestStop
        random = SplitMix64(seed: seed)
    }

    mutating func start() async throws {
        for name in Self.writers + Self.readers { try await start(name) }
        var configuration = EventLogConfiguration()
        configuration.closesSilentWriters = false
        let log = try await participant.open(configuration: configuration)
        observer = log
        service = Task { try await log.run() }
    }

    mutating func start(_ name: String) async throws {
        let number = starts[name, default: 0] + 1
        starts[name] = number
        let isWriter = Self.writers.contains(name)
        _ = try await children.start(
            name,
            isWriter
                ? ["writer", "--instance", name, "--number", "\(number)", "--seed", "\(random.next())"]
                : ["reader", "--consumer", name])
    }

    // MARK: Faults

    /// One fault after the other, each with all that follows from it.
    mutating func breakThings(for duration: Duration) async throws {
        let end = ContinuousClock.now + duration
        while ContinuousClock.now < end {
            switch Int.random(in: 0..<100, using: &random) {
            case 0..<45: try await killWriters(1)
            case 45..<55: try await killWriters(2)
            case 55..<65: try await killReader()
            case 65..<85: try await stop(1)
            case 85..<90: try await stop(2)
            default: try await killBesideStopped()
            }
            try children.check()
            try await settle()
            try await pause(upTo: 0.5)
        }
    }

    private mutating func killWriters(_ count: Int) async throws {
        let names = Self.writers.shuffled(using: &random).prefix(count)
        let start = ContinuousClock.now
        for name in names { try await kill(name) }
        try await passed.add(minimumPasses(since: start))
        try await pause(upTo: 0.3)
        for name in names { try await self.start(name) }
    }

    private mutating func killReader() async throws {
        guard let name = Self.readers.randomElement(using: &random) else { return }
        try await kill(name)
        try await pause(upTo: 0.5)
        try await start(name)
    }

    private mutating func stop(_ count: Int) async throws {
        let names = (Self.writers + Self.readers).shuffled(using: &random).prefix(count)
        try await stop(Array(names)).value
    }

    private mutating func killBesideStopped() async throws {
        let names = Self.writers.shuffled(using: &random)
        let stopping = stop([names[0]])
        let start = ContinuousClock.now
        try await kill(names[1])
        try await passedBesideStopped.add(minimumPasses(since: start))
        // Where the other one was stopped with the write lock, this waits for it.
        try await self.start(names[1])
        try await stopping.value
    }

    /// Stops processes, and continues them after a time.
    private mutating func stop(_ names: [String]) -> Task<Void, any Error> {
        // Shorter ones are more frequent.
        let part = Double.random(in: 0...1, using: &random)
        let duration = Duration.seconds(max(0.05, longestStop * part * part))
        stops.add(duration)
        let programs = names.compactMap { children[$0] }
        for program in programs { program.send(SIGSTOP) }
        return Task {
            defer { for program in programs { program.send(SIGCONT) } }
            try await Task.sleep(for: duration)
        }
    }

    private mutating func kill(_ name: String) async throws {
        kills[Self.writers.contains(name) ? "writers" : "readers", default: 0] += 1
        try await children.kill(name)
    }

    private mutating func pause(upTo seconds: Double) async throws {
        try await Task.sleep(for: .seconds(Double.random(in: 0...seconds, using: &random)))
    }

    // MARK: Waiting

    /// Waits until the minimum is at or above everything that was handed out by now, and says how long that took.
    private func minimumPasses(since start: ContinuousClock.Instant) async throws -> Duration {
        guard let observer, let sequence = try await observer.store.status(of: observer.stream)?.sequence else {
            throw Failure("the run has not started")
        }
        switch try await observer.waitUntilPersisted(sequence, timeout: .seconds(60)) {
        case .reached: return start.duration(to: .now)
        case .timedOut(let heldBackBy):
            let who = heldBackBy.map { "\($0)" } ?? "nobody in particular"
            throw Failure("the minimum did not come to \(sequence) within a minute: held back by \(who)")
        }
    }

    private func settle() async throws { _ = try await minimumPasses(since: .now) }

    // MARK: The end

    /// Writers leave, readers read to the end.
    mutating func end() async throws {
        for name in Self.writers { try await children.end(name) }
        guard let observer else { return }
        try await eventually("that both readers are at the end") {
            try children.check()
            guard let status = try await observer.store.status(of: observer.stream) else { return false }
            return status.consumers.count == Self.readers.count
                && status.consumers.allSatisfy { $0.position >= status.newestEvent }
        }
        for name in Self.readers { try await children.end(name) }
        service?.cancel()
        try await service?.value
    }
}
