import ArgumentParser
import Foundation
import Synchronization
import Tidemark
import TidemarkReplication
import TidemarkSQLite

/// `tidemark demo`: what the stream does when writers are idle, and when one is killed, on one screen.
struct DemoCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "Starts three writers and a reader in a temporary folder, and kills one.",
        discussion: """
            Each writer is a process of this program, and the reader is in this one. All of it is real: what it shows was \
            measured, and at the end every event that a writer acknowledged is looked for among those that were read. It ends \
            with 70 where one is missing, came twice or out of order.
            """)

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("For how long it writes, in seconds.", valueName: "S"),
        transform: { try NumberOption.parse($0, in: 2...3600, "seconds, from 2 to 3600") })
    var seconds = 16.0

    func run() async throws {
        let seconds = seconds
        try await Interruption.cancels(verbose: false) { output in
            let folder = FileManager.default.temporaryDirectory.appending(path: "tidemark-demo-\(UUID().uuidString)")
            try FileManager.default.createDirectory(
                at: folder, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
            defer { try? FileManager.default.removeItem(at: folder) }
            try await Demo(folder: folder, part: .seconds(seconds / 4), output: output).run()
        }
    }
}

/// The four parts of the demonstration.
private struct Demo {
    let folder: URL
    /// How long a part takes.
    let part: Duration
    let output: Output
    private let began = ContinuousClock.now

    init(folder: URL, part: Duration, output: Output) {
        self.folder = folder
        self.part = part
        self.output = output
    }

    func run() async throws {
        let path = folder.appending(path: "events.db").path
        try await say("Three processes that write, and a reader in this one; the database is in")
        try await say("\(folder.path), which is removed at the end.\n")
        let store = try await SQLiteEventStore.open(path: path)
        let log = try await EventLog.open(store, stream: "events", transport: UnixSocketTransport(besideDatabase: path))
        let readings = DemoReadings()
        var writers: [DemoWriter] = []
        defer { for writer in writers { writer.kill() } }
        for name in ["p1", "p2", "p3"] { writers.append(try DemoWriter(name, database: path)) }
        let reading = Task { try await log.running { try await readings.read(log) } }
        defer { reading.cancel() }
        try await show(writers, readings)
        let acknowledged = try await end(writers, readings)
        reading.cancel()
        try? await reading.value
        await store.close()
        try await compare(acknowledged, readings)
    }

    private func show(_ writers: [DemoWriter], _ readings: DemoReadings) async throws {
        // The first events take as long as the processes take to begin.
        for writer in writers { try writer.write() }
        try await readings.wait(forEach: writers)
        _ = readings.takeLags()

        try await title("p1, p2 and p3 write, 50 events a second each")
        try await writing(writers)
        try await told(readings)

        try await title("p2 and p3 have nothing to say; p1 goes on")
        try await writing([writers[0]])
        try await told(readings, "nobody waits for who is idle")

        try await title("p3 is killed with SIGKILL while it writes, and nobody starts it again")
        try await writing(writers, for: part / 8)
        writers[2].kill()
        _ = readings.takeLags()
        try await writing(Array(writers[..<2]), for: part * 7 / 8)
        try await told(readings, "its process is gone, so p3 was closed: nobody waits for it")

        try await title("p3 comes back under its name")
        try writers[2].start()
        try await writing(writers)
        try await told(readings)
    }

    private func writing(_ writers: [DemoWriter], for duration: Duration? = nil) async throws {
        let clock = ContinuousClock()
        var next = clock.now
        let end = next + (duration ?? part)
        while next < end {
            for writer in writers { try writer.write() }
            next += .milliseconds(20)
            try await clock.sleep(until: next)
        }
        // What was written last is read, too.
        try await clock.sleep(for: .milliseconds(100))
    }

    private func told(_ readings: DemoReadings, _ remark: String = "") async throws {
        let lags = readings.takeLags().sorted()
        guard let slowest = lags.last else {
            return try await say("        nothing was read")
        }
        let line =
            "        \(lags.count) events read; from the writer's line to the reader \(shown(lags[lags.count / 2])) (p50), "
            + "at most \(shown(slowest))"
        try await say(remark.isEmpty ? line : "\(line):\n        \(remark)")
    }

    private func shown(_ duration: Duration) -> String {
        let milliseconds = duration / .milliseconds(1)
        return milliseconds < 10
            ? String(format: "%.1f ms", milliseconds) : "\(Int(milliseconds.rounded())) ms"
    }

    /// Lets the writers end in order, and waits until all that they acknowledged was read, or for ten seconds.
    private func end(_ writers: [DemoWriter], _ readings: DemoReadings) async throws -> [String: StreamID] {
        try await title("everybody ends")
        var acknowledged: [String: StreamID] = [:]
        for writer in writers { acknowledged.merge(try await writer.end()) { $1 } }
        let highest = acknowledged.values.max() ?? 0
        let deadline = ContinuousClock.now + .seconds(10)
        while readings.position < highest, ContinuousClock.now < deadline {
            // Looked at in turns, because what is measured is the reader that nobody waits for.
            try await Task.sleep(for: .milliseconds(10))
        }
        return acknowledged
    }

    private func compare(_ acknowledged: [String: StreamID], _ readings: DemoReadings) async throws {
        let read = readings.read
        let missing = acknowledged.filter { read[$0.key] != $0.value }
        guard missing.isEmpty, readings.mistakes == 0 else {
            throw DemoFailure(missing: missing.count, mistakes: readings.mistakes)
        }
        try await say(
            "        \(acknowledged.count) events were acknowledged: each was read once, in order, none is missing\n")
        try await say("Go on with: tidemark ingest --help, tidemark tail --help, tidemark status --help")
    }

    private func title(_ text: String) async throws {
        let seconds = (ContinuousClock.now - began) / .seconds(1)
        try await say(String(format: "%5.1f s", seconds) + " \(text)")
    }

    private func say(_ line: String) async throws { try await output.write(line + "\n") }
}

/// What the demonstration is there to show was not so.
private struct DemoFailure: ProgramError {
    let missing: Int
    let mistakes: Int

    var status: ExitStatus { .internalError }
    var description: String {
        "\(missing) events that were acknowledged were not read, and \(mistakes) came twice or out of order"
    }
}

/// One writer: `tidemark ingest` as a process of its own, whose input and output this one has.
private final class DemoWriter: Sendable {
    private struct State {
        var process: Process?
        var input: FileHandle?
        /// Threads that read what it acknowledges.
        var readers = 0
        var written = 0
        var acknowledged: [String: StreamID] = [:]
    }

    let name: String
    private let database: String
    private let state = Mutex(State())

    init(_ name: String, database: String) throws {
        self.name = name
        self.database = database
        try start()
    }

    func start() throws {
        guard let program = Bundle.main.executableURL else { throw SystemCallFailure("readlink") }
        let process = Process()
        let (input, output) = (Pipe(), Pipe())
        process.executableURL = program
        process.arguments = ["ingest", "--database", database, "--instance", name, "--print"]
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        state.withLock { state in
            state.process = process
            state.input = input.fileHandleForWriting
            state.readers += 1
        }
        let lines = output.fileHandleForReading
        // It blocks in the pipe, until the process has ended.
        Thread {
            var rest: [UInt8] = []
            while let data = try? lines.read(upToCount: 65_536), !data.isEmpty {
                rest += data
                while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
                    self.acknowledged(String(decoding: rest[..<end], as: UTF8.self))
                    rest.removeSubrange(...end)
                }
            }
            self.state.withLock { $0.readers -= 1 }
        }.start()
    }

    private func acknowledged(_ line: String) {
        let parts = line.split(separator: "\t")
        guard parts.count == 2, let id = Int64(parts[0]) else { return }
        state.withLock { $0.acknowledged[String(parts[1])] = StreamID(id) }
    }

    /// One event, with the time at which it was written.
    func write() throws {
        try state.withLock { state in
            state.written += 1
            let line = "{\"id\":\"\(name)-\(state.written)\",\"type\":\"demo\",\"written\":\(DemoReadings.now)}\n"
            try state.input?.write(contentsOf: Data(line.utf8))
        }
    }

    func kill() {
        state.withLock { state in
            if let process = state.process, process.isRunning { Foundation.kill(process.processIdentifier, SIGKILL) }
            state.input = nil
        }
    }

    /// Closes its input, and waits for its end, for 15 seconds at most; what it has acknowledged.
    func end() async throws -> [String: StreamID] {
        try state.withLock { try $0.input?.close() }
        let deadline = ContinuousClock.now + .seconds(15)
        while state.withLock({ $0.readers }) > 0, ContinuousClock.now < deadline {
            // The threads that read its output end with it, and nothing waits for a thread but another one.
            try await Task.sleep(for: .milliseconds(5))
        }
        return state.withLock { $0.acknowledged }
    }
}

/// What the reader has seen.
private final class DemoReadings: Sendable {
    private struct State {
        var read: [String: StreamID] = [:]
        var position: StreamID = 0
        var mistakes = 0
        var lags: [Duration] = []
    }

    private let state = Mutex(State())

    /// On the clock that all processes of the machine share, in nanoseconds.
    static var now: Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }

    var read: [String: StreamID] { state.withLock { $0.read } }
    var position: StreamID { state.withLock { $0.position } }
    var mistakes: Int { state.withLock { $0.mistakes } }

    func takeLags() -> [Duration] {
        state.withLock { state in
            defer { state.lags = [] }
            return state.lags
        }
    }

    func read(_ log: EventLog) async throws {
        for try await batch in log.events() {
            let now = Self.now
            state.withLock { state in
                for event in batch.events {
                    if event.streamID <= state.position || state.read[event.event.id] != nil { state.mistakes += 1 }
                    state.position = max(state.position, event.streamID)
                    state.read[event.event.id] = event.streamID
                    if let line = try? JSONDecoder().decode(Line.self, from: Data(event.event.payload)) {
                        state.lags.append(.nanoseconds(now - line.written))
                    }
                }
            }
        }
    }

    private struct Line: Decodable { let written: Int64 }

    /// Until something of each writer was read, or for ten seconds.
    func wait(forEach writers: [DemoWriter]) async throws {
        let deadline = ContinuousClock.now + .seconds(10)
        while !writers.allSatisfy({ read["\($0.name)-1"] != nil }), ContinuousClock.now < deadline {
            // Processes begin when they begin: nothing is measured yet.
            try await Task.sleep(for: .milliseconds(10))
        }
    }
}
