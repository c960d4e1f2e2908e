import Dispatch
import Foundation
import Synchronization

/// SIGINT and SIGTERM: from the first of them on the program ends in order, within ``limit``. A second one ends it at
/// once, with 128 and the signal's number as a shell would say it: the end in order may have to wait for somebody else's
/// lock.
///
/// Tasks are told by a handler; threads that wait for a descriptor wait for this one's too, which can be read from then
/// on.
final class Interruption: Sendable {
    private struct State {
        var requestedAt: ContinuousClock.Instant?
        var isRequested: Bool { requestedAt != nil }
        var handlers: [@Sendable () -> Void] = []
        /// They live as long as the program does.
        var sources: [any DispatchSourceSignal] = []
    }

    /// Can be read from once the program has to end; nothing is ever read from it.
    let descriptor: Int32
    private let writeEnd: Int32
    private let state = Mutex(State())

    /// For how long the program may take to end. Container platforms kill it after 10 to 30 seconds.
    static let limit = Duration.seconds(8)
    /// How much of the limit is kept for whatever is late all the same.
    private static let grace = Duration.seconds(1)
    /// For how long it may take to end in order.
    private static let orderlyLimit = limit - grace

    /// How much is left to end in order; all of it before the first signal.
    var timeLeft: Duration {
        state.withLock { $0.requestedAt }.map { max(.zero, $0 + Self.orderlyLimit - .now) } ?? Self.orderlyLimit
    }

    /// What a program that is told to end was doing.
    enum Work: Sendable {
        case reader
        case writer
    }

    private let work: Work

    /// - Parameter work: what the line on standard error says when the program ends late.
    init(of work: Work = .reader) throws {
        self.work = work
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw SystemCallFailure("pipe") }
        descriptor = ends[0]
        writeEnd = ends[1]
    }

    /// Takes the two signals over for as long as the program runs.
    func listen() {
        for number in [SIGINT, SIGTERM] {
            signal(number, SIG_IGN)
            state.withLock { state in
                let source = DispatchSource.makeSignalSource(signal: number)
                source.setEventHandler { [self] in received(number) }
                source.activate()
                state.sources.append(source)
            }
        }
    }

    var isRequested: Bool { state.withLock { $0.isRequested } }

    func request() {
        let handlers: [@Sendable () -> Void] = state.withLock { state in
            if state.isRequested { return [] }
            state.requestedAt = .now
            close(writeEnd)
            defer { state.handlers = [] }
            return state.handlers
        }
        for handler in handlers { handler() }
    }

    /// Ends the process when the end in order takes longer than it may: what waits for somebody else's lock, or for a disk,
    /// cannot always be stopped. Readers pass its writer then as one whose process is gone.
    private func endInTime() {
        DispatchQueue.global().asyncAfter(deadline: .now() + Self.limit / .seconds(1)) { [work] in
            StandardStreams.writeError(Self.lateEndLine(of: work))
            _exit(ExitStatus.tryLater.rawValue)
        }
    }

    static func lateEndLine(of work: Work) -> String {
        let end = "tidemark: could not end in order within \(limit): ended all the same"
        return switch work {
        case .reader: end + "; what was not yet written out can be read again"
        case .writer: end + "; what was not yet persisted is not in the stream"
        }
    }

    /// A parent process may pass on a signal that the terminal has sent already: within this time it is the same signal.
    private static let sameSignal = Duration.milliseconds(500)

    private func received(_ number: Int32) {
        let first = state.withLock { $0.requestedAt }
        if first == nil { endInTime() }
        if let first, .now - first >= Self.sameSignal { _exit(128 + number) }
        request()
    }

    /// Calls the handler once: on the first signal, or now when that has come.
    func onRequest(_ handler: @escaping @Sendable () -> Void) {
        let isRequested = state.withLock { state in
            if !state.isRequested { state.handlers.append(handler) }
            return state.isRequested
        }
        if isRequested { handler() }
    }

    /// Runs a command that writes to standard output, until it is interrupted, or nobody reads that any more.
    static func cancels(
        verbose: Bool, readerGone: Output.ReaderGone = .ends,
        _ command: @escaping @Sendable (Output) async throws -> Void
    ) async throws {
        setUpLogging(verbose: verbose)
        let interruption = try Interruption()
        interruption.listen()
        let output = Output(interruption: interruption, readerGone: readerGone)
        if readerGone == .ends { output.endWithReader() }
        try await interruption.cancelling { try await command(output) }
    }

    /// Runs `body` and cancels it on the first signal: then its cancellation is the end in order, and no error.
    private func cancelling(_ body: @escaping @Sendable () async throws -> Void) async throws {
        let task = Task { try await body() }
        onRequest { task.cancel() }
        do {
            try await task.value
        } catch is CancellationError where isRequested {
            return
        }
    }
}

/// A call of the system that failed where nobody expects it to.
struct SystemCallFailure: ProgramError {
    let name: String
    let number: Int32

    /// The error of the call that has just failed.
    init(_ name: String) {
        self.name = name
        number = errno
    }

    var status: ExitStatus { .unavailable }
    var description: String { "\(name) failed: \(String(cString: strerror(number)))" }
}
