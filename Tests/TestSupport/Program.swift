import Foundation
import Synchronization

/// One run of a program of this package, with pipes on its three descriptors. It is ended with this object.
///
/// Nothing here blocks the thread of a caller: what reads and writes pipes has threads of its own.
///
/// `@unchecked`: the process is started in `init` and from then on only asked, sent signals and waited for, which
/// Foundation does under a lock; what the threads that read collect is in a mutex.
public final class Program: @unchecked Sendable {
    private struct Collected {
        var output: [UInt8] = []
        var errors: [UInt8] = []
    }

    private let process = Process()
    private let input = Pipe()
    /// Writes in order.
    private let writing = DispatchQueue(label: "tidemark.tests.program")
    private let collected = Mutex(Collected())
    /// Kept open.
    private let unread = Mutex<Pipe?>(nil)
    private let hasExited = Mutex(false)
    /// What still has to end before everything is there: two readers and the process.
    private let remaining = Mutex(3)

    /// Who is at the other end of its standard output.
    public enum Reader: Sendable {
        case attentive
        /// Closed at once.
        case gone
        /// Open, and never read.
        case asleep
    }

    /// Starts a program of this package.
    ///
    /// - Parameter name: of the executable, which is beside the one that runs.
    public convenience init(_ name: String, _ arguments: [String], reader: Reader = .attentive) throws {
        try self.init(executable: Self.executable(name), arguments, reader: reader)
    }

    public init(executable: URL, _ arguments: [String], reader: Reader = .attentive) throws {
        // To write to a program that has ended is an error, and not the end of the tests.
        signal(SIGPIPE, SIG_IGN)
        let output = Pipe()
        let errors = Pipe()
        process.executableURL = executable
        process.arguments = arguments
        process.standardInput = input
        process.standardOutput = output
        process.standardError = errors
        process.terminationHandler = { [weak self] _ in
            self?.hasExited.withLock { $0 = true }
            self?.remaining.withLock { $0 -= 1 }
        }
        // Before the program can write anything.
        if case .gone = reader { try output.fileHandleForReading.close() }
        try process.run()
        switch reader {
        case .attentive: collect(output) { $0.output += $1 }
        case .gone: remaining.withLock { $0 -= 1 }
        case .asleep:
            remaining.withLock { $0 -= 1 }
            unread.withLock { $0 = output }
        }
        collect(errors) { $0.errors += $1 }
    }

    deinit {
        if process.isRunning { kill(process.processIdentifier, SIGKILL) }
        endInput()
    }

    public var processIdentifier: Int32 { process.processIdentifier }

    public func write(_ bytes: [UInt8]) {
        // Who ended early does not read it, and its status says why.
        writing.async { [input] in try? input.fileHandleForWriting.write(contentsOf: Data(bytes)) }
    }

    public func write(_ line: String) { write(Array((line + "\n").utf8)) }

    /// Returns when the program has taken all that was written so far.
    public func waitUntilRead() async throws {
        // What is still to be written comes first.
        await withCheckedContinuation { done in writing.async { done.resume() } }
        try await eventually("a program has read its input") {
            var unread: Int32 = 0
            return ioctl(input.fileHandleForWriting.fileDescriptor, UInt(FIONREAD), &unread) == 0 && unread == 0
        }
    }

    /// After everything that is to be written.
    public func endInput() {
        writing.async { [input] in try? input.fileHandleForWriting.close() }
    }

    public func send(_ signal: Int32) {
        // A number whose process was waited for may be another's.
        if process.isRunning { kill(process.processIdentifier, signal) }
    }

    /// Stops it where it is, and returns when all of its threads have stopped: `kill` returns before, and on a busy
    /// machine a thread may go on for milliseconds.
    public func stop() async throws {
        send(SIGSTOP)
        try await eventually("a program is stopped") { hasStopped || !isRunning }
    }

    private var hasStopped: Bool {
        var information = siginfo_t()
        // Only looks: what is waited for is Foundation's.
        let result = waitid(P_PID, id_t(process.processIdentifier), &information, WSTOPPED | WNOHANG | WNOWAIT)
        return result == 0 && information.si_signo == SIGCHLD && information.si_code == CLD_STOPPED
    }

    /// Ends it as a crash would, and waits until it is gone.
    public func killAndWait() async throws {
        send(SIGKILL)
        try await eventually("the end of a program that was killed") { hasExited.withLock { $0 } }
    }

    public var lines: [String] {
        collected.withLock { collected in
            String(decoding: collected.output, as: UTF8.self).split(separator: "\n").map(String.init)
        }
    }

    /// What it has written to standard error so far.
    public var errors: String { collected.withLock { String(decoding: $0.errors, as: UTF8.self) } }

    public var isRunning: Bool { !hasExited.withLock { $0 } }

    /// Waits until the program has written so many lines.
    public func waitForLines(_ count: Int) async throws {
        try await wait("\(count) lines of output") { self.lines.count >= count }
    }

    /// Waits for the program to end by itself.
    public func outcome(within limit: Duration = .seconds(60)) async throws -> Outcome {
        try await wait("the end of a program", within: limit) { self.remaining.withLock { $0 } == 0 }
        return collected.withLock { collected in
            Outcome(
                status: process.terminationStatus, output: collected.output,
                errors: String(decoding: collected.errors, as: UTF8.self))
        }
    }

    /// Asks again and again; ends the program where the answer does not become true within a generous time.
    private func wait(
        _ what: String, within limit: Duration = .seconds(60), until isDone: () -> Bool
    ) async throws {
        do {
            try await eventually(what, within: limit, isDone)
        } catch {
            send(SIGKILL)
            throw TookTooLong("\(error); standard error: \(errors)")
        }
    }

    private func collect(_ pipe: Pipe, _ add: @escaping @Sendable (inout Collected, Data) -> Void) {
        Thread { [weak self] in
            while true {
                let data = pipe.fileHandleForReading.availableData
                if data.isEmpty { break }
                self?.collected.withLock { add(&$0, data) }
            }
            // Foundation keeps some of them for good, and cannot start a program beside a thousand descriptors.
            try? pipe.fileHandleForReading.close()
            self?.remaining.withLock { $0 -= 1 }
        }.start()
    }

    /// Beside the test bundle, or beside the program that runs.
    public static func executable(_ name: String) throws -> URL {
        let own = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
        for folder in [own, Bundle.main.bundleURL, Bundle.main.bundleURL.deletingLastPathComponent()] {
            let url = folder.appendingPathComponent(name)
            if FileManager.default.isExecutableFile(atPath: url.path) { return url }
        }
        throw CocoaError(.executableNotLoadable, userInfo: [NSFilePathErrorKey: name])
    }
}
