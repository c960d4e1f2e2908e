import Dispatch
import Foundation

/// A process of this program that is told what to do by lines, and answers by lines. No wait for it is without a bound.
final class ChildProcess: Sendable {
    let name: String
    private let process: Process
    private let input: FileHandle
    private let lines: AsyncThrowingStream<String, any Error>
    /// Left when the process has ended.
    private let running = DispatchGroup()

    init(name: String, arguments: [String]) throws {
        self.name = name
        let process = Process()
        process.executableURL = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
        process.arguments = arguments
        let standardInput = Pipe()
        let standardOutput = Pipe()
        process.standardInput = standardInput
        process.standardOutput = standardOutput
        input = standardInput.fileHandleForWriting
        let (stream, continuation) = AsyncThrowingStream<String, any Error>.makeStream()
        lines = stream
        running.enter()
        process.terminationHandler = { [running] _ in running.leave() }
        do {
            try process.run()
        } catch {
            running.leave()
            throw error
        }
        self.process = process
        Leftovers.ofThisProcess.add(process)
        let descriptor = standardOutput.fileHandleForReading
        // Blocks until the child writes, so it has a thread of its own.
        Thread {
            var rest = Data()
            while case let data = descriptor.availableData, !data.isEmpty {
                rest += data
                while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
                    continuation.yield(String(decoding: rest[rest.startIndex..<end], as: UTF8.self))
                    rest = Data(rest[rest.index(after: end)...])
                }
            }
            continuation.finish(throwing: Failure("\(name) ended before it was asked to"))
        }.start()
    }

    func send(_ line: String) throws {
        try input.write(contentsOf: Data((line + "\n").utf8))
    }

    /// The lines up to the one that says `last`. A child that has not said it by the limit is killed.
    func lines(until last: String, within limit: Duration = .seconds(180)) async throws -> [String] {
        let guardian = Task {
            try await Task.sleep(for: limit)
            kill()
        }
        defer { guardian.cancel() }
        var found: [String] = []
        for try await line in lines {
            if line == last { return found }
            found.append(line)
        }
        throw Failure("\(name) ended before it said \"\(last)\"")
    }

    /// What it says to this.
    func ask(_ line: String) async throws -> [String] {
        try send(line)
        return try await lines(until: "done")
    }

    var processID: Int32 { process.processIdentifier }

    /// SIGSTOP: it does nothing until ``goOn()``, and the kernel keeps its locks.
    func stop() { Foundation.kill(processID, SIGSTOP) }

    func goOn() { Foundation.kill(processID, SIGCONT) }

    /// SIGKILL: it gets no chance to leave.
    func kill() {
        if process.isRunning { Foundation.kill(processID, SIGKILL) }
        waitForEnd(seconds: 10)
    }

    /// The orderly end: its input ends. One that does not follow is killed.
    func end() {
        try? input.close()
        if !waitForEnd(seconds: 10) { kill() }
    }

    /// Whether it has ended by then.
    @discardableResult
    private func waitForEnd(seconds: Int) -> Bool {
        guard running.wait(timeout: .now() + .seconds(seconds)) == .success else { return false }
        Leftovers.ofThisProcess.remove(process)
        return true
    }

    deinit {
        if process.isRunning { Foundation.kill(processID, SIGKILL) }
        Leftovers.ofThisProcess.remove(process)
    }
}

extension Sequence<ChildProcess> {
    /// The sum of the numbers that each of them says to this.
    func sum(_ line: String) async throws -> Int {
        var sum = 0
        for child in self { sum += try await child.ask(line).compactMap { Int($0) }.reduce(0, +) }
        return sum
    }
}
