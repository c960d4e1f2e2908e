import Foundation
import Synchronization
import Testing

@testable import TidemarkCLI

/// A folder that goes with the test.
final class TemporaryFolder: Sendable {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.path + "/tidemark-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    var database: String { path + "/events.db" }
}

/// How a run of the program ended.
struct Outcome: Sendable {
    let status: Int32
    let output: [UInt8]
    let errors: String

    var lines: [String] {
        String(decoding: output, as: UTF8.self).split(separator: "\n").map(String.init)
    }

    /// The lines on standard error.
    var errorLines: [String] {
        errors.split(separator: "\n", omittingEmptySubsequences: false).dropLast().map(String.init)
    }
}

/// One run of the built program, with pipes on its three descriptors.
///
/// `@unchecked`: the process is started in `init` and from then on only asked, sent signals and waited for, which
/// Foundation does under a lock; what the threads that read collect is in a mutex.
final class Program: @unchecked Sendable {
    private struct Collected {
        var output: [UInt8] = []
        var errors: [UInt8] = []
    }

    private let process = Process()
    private let input = Pipe()
    private let collected = Mutex(Collected())
    /// Kept open.
    private let unread = Mutex<Pipe?>(nil)
    private let readers = DispatchGroup()
    private let exited = DispatchGroup()

    /// Who is at the other end of its standard output.
    enum Reader {
        case attentive
        /// Closed at once.
        case gone
        /// Open, and never read.
        case asleep
    }

    init(_ arguments: [String], reader: Reader = .attentive) throws {
        // To write to a program that has ended is an error, and not the end of the tests.
        signal(SIGPIPE, SIG_IGN)
        let output = Pipe()
        let errors = Pipe()
        process.executableURL = try Self.executable()
        process.arguments = arguments
        process.standardInput = input
        process.standardOutput = output
        process.standardError = errors
        exited.enter()
        process.terminationHandler = { [exited] _ in exited.leave() }
        // Before the program can write anything.
        if case .gone = reader { try output.fileHandleForReading.close() }
        try process.run()
        switch reader {
        case .attentive: collect(output) { $0.output += $1 }
        case .gone: break
        case .asleep: unread.withLock { $0 = output }
        }
        collect(errors) { $0.errors += $1 }
    }

    /// Runs the program to its end with this input.
    static func run(_ arguments: String..., input: [UInt8] = []) async throws -> Outcome {
        let program = try Program(arguments)
        program.write(input)
        program.endInput()
        return try await program.outcome()
    }

    func write(_ bytes: [UInt8]) {
        // Who ended early does not read it, and its status says why.
        try? input.fileHandleForWriting.write(contentsOf: Data(bytes))
    }

    func write(_ line: String) { write(Array((line + "\n").utf8)) }

    func endInput() { try? input.fileHandleForWriting.close() }

    func terminate() { process.terminate() }

    func send(_ signal: Int32) { kill(process.processIdentifier, signal) }

    var lines: [String] {
        collected.withLock { collected in
            String(decoding: collected.output, as: UTF8.self).split(separator: "\n").map(String.init)
        }
    }

    /// What it has written to standard error so far.
    var errors: String { collected.withLock { String(decoding: $0.errors, as: UTF8.self) } }

    /// Waits until the program has written so many lines.
    func waitForLines(_ count: Int) async throws {
        try await wait { self.lines.count >= count }
    }

    /// Waits for the program to end by itself.
    func outcome() async throws -> Outcome {
        let isOver = Mutex(false)
        exited.notify(queue: .global()) { [readers] in
            readers.notify(queue: .global()) { isOver.withLock { $0 = true } }
        }
        try await wait { isOver.withLock { $0 } }
        return collected.withLock { collected in
            Outcome(
                status: process.terminationStatus, output: collected.output,
                errors: String(decoding: collected.errors, as: UTF8.self))
        }
    }

    /// Asks again and again; ends the program where the answer does not become true within a generous time.
    private func wait(until isDone: @escaping @Sendable () -> Bool) async throws {
        do {
            try await eventually(isDone)
        } catch {
            send(SIGKILL)
            throw error
        }
    }

    private func collect(_ pipe: Pipe, _ add: @escaping @Sendable (inout Collected, Data) -> Void) {
        readers.enter()
        Thread { [self] in
            while true {
                let data = pipe.fileHandleForReading.availableData
                if data.isEmpty { break }
                collected.withLock { add(&$0, data) }
            }
            readers.leave()
        }.start()
    }

    /// Beside the test bundle.
    private static func executable() throws -> URL {
        let own = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
        for folder in [own, Bundle.main.bundleURL, Bundle.main.bundleURL.deletingLastPathComponent()] {
            let url = folder.appendingPathComponent("tidemark")
            if FileManager.default.isExecutableFile(atPath: url.path) { return url }
        }
        throw TookTooLong(what: "the program tidemark was not found beside the tests")
    }
}

struct TookTooLong: Error {
    let what: String
}

/// Waits until it is true, for up to a minute.
func eventually(_ isTrue: @Sendable () async throws -> Bool) async throws {
    let clock = ContinuousClock()
    let deadline = clock.now + .seconds(60)
    while try await !isTrue() {
        guard clock.now < deadline else { throw TookTooLong(what: "it did not become true within a minute") }
        try await clock.sleep(for: .milliseconds(5))
    }
}

/// Lines as a program would log them, all different, with characters of several bytes and spaces between values.
func generatedLines(_ numbers: Range<Int>) -> [String] {
    numbers.map { number in
        let text = String(repeating: "äö🌊 \\n\\\"", count: number % 7)
        return "{\"id\":\"event-\(number)\", \"type\" : \"noted\",\"key\":\"room-\(number % 5)\",\"text\":\"\(text)\"}"
    }
}

func bytes(_ lines: [String]) -> [UInt8] {
    Array(lines.map { $0 + "\n" }.joined().utf8)
}

/// The `stream_id` of a line of `tail`, and the event as it went in.
func parsed(_ line: String) throws -> (streamID: Int, event: String) {
    let afterID = try #require(line.range(of: ",\"instance\":"))
    let start = try #require(line.range(of: ",\"event\":"))
    let id = try #require(Int(line[..<afterID.lowerBound].dropFirst("{\"stream_id\":".count)))
    return (id, String(line[start.upperBound...].dropLast()))
}
