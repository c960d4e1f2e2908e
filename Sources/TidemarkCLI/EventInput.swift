import Foundation
import Synchronization
import Tidemark

/// A line of the input that is no event; what came before it is durable.
struct BadLine: ProgramError, Equatable {
    let number: Int
    let problem: InvalidEventLine

    var status: ExitStatus { .badData }
    var place: String { "standard input:\(number)" }
    var description: String { "\(problem)" }
}

/// The input cannot be read.
struct InputFailure: ProgramError {
    let problem: String

    var status: ExitStatus { .unavailable }
    var description: String { "standard input cannot be read: \(problem)" }
}

/// The events of an input, read and parsed on a thread of its own, so that neither a quiet input nor the parsing takes
/// one of Swift's threads.
///
/// What is read is there at once, and reading goes on while earlier events are made durable, up to a bound: then the
/// thread waits, and with it whoever writes the input.
final class EventInput: Sendable {
    private let descriptor: Int32
    private let parser: EventLineParser
    private let skipsInvalid: Bool
    private let interruption: Interruption
    private let buffer: EventBuffer
    private let skipped = Atomic<Int>(0)
    /// What a pipe holds.
    private static let chunkBytes = 64 << 10

    init(
        descriptor: Int32 = STDIN_FILENO, parser: EventLineParser, skipsInvalid: Bool, batch: Int,
        interruption: Interruption
    ) {
        self.descriptor = descriptor
        self.parser = parser
        self.skipsInvalid = skipsInvalid
        self.interruption = interruption
        buffer = EventBuffer(limit: 4 * batch)
    }

    /// Lines that were left out so far.
    var skippedLines: Int { skipped.load(ordering: .relaxed) }

    func start() {
        let thread = Thread { self.read() }
        thread.name = "tidemark.input"
        thread.start()
    }

    /// The next events, at least one, as soon as there are any; nil at the end of the input, or when the program has to
    /// end and all that was read was handed out.
    ///
    /// - Throws: ``BadLine`` or ``InputFailure`` after everything before it was handed out; `CancellationError`.
    func next(upTo count: Int) async throws -> [Event]? {
        try await buffer.next(upTo: count)
    }

    private func read() {
        do {
            try readLines()
            buffer.finish(nil)
        } catch {
            buffer.finish(error)
        }
    }

    private func readLines() throws {
        var lines = InputLines(limit: parser.limits.payloadBytes)
        var chunk = [UInt8](repeating: 0, count: Self.chunkBytes)
        while try waitForInput() {
            let count = chunk.withUnsafeMutableBytes { Foundation.read(descriptor, $0.baseAddress, $0.count) }
            if count < 0 {
                if errno == EINTR || errno == EAGAIN { continue }
                throw InputFailure(problem: String(cString: strerror(errno)))
            }
            if count == 0 {
                if let last = lines.finish() { try handOver { try $0(last) } }
                return
            }
            try handOver { body in try lines.take(chunk[..<count], body) }
            if buffer.isAbandoned { return }
        }
    }

    /// Hands the events of some lines over together, also those before a bad one.
    private func handOver(_ lines: ((InputLines.Line) throws -> Void) throws -> Void) throws {
        var events: [Event] = []
        defer { buffer.add(events) }
        try lines { line in
            do {
                if let event = try parser.event(line.content) { events.append(event) }
            } catch let problem as InvalidEventLine {
                guard skipsInvalid else { throw BadLine(number: line.number, problem: problem) }
                skipped.add(1, ordering: .relaxed)
            }
        }
    }

    /// False when the program has to end.
    private func waitForInput() throws -> Bool {
        var descriptors = [
            pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
            pollfd(fd: interruption.descriptor, events: Int16(POLLIN), revents: 0),
        ]
        while poll(&descriptors, 2, -1) < 0 {
            guard errno == EINTR else { throw SystemCallFailure("poll") }
        }
        return descriptors[1].revents == 0
    }
}
