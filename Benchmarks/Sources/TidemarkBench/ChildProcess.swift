import Foundation

/// A process of this program that is told what to do by lines, and answers by lines.
final class ChildProcess: Sendable {
    let name: String
    private let process: Process
    private let input: FileHandle
    private let lines: AsyncThrowingStream<String, any Error>

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
        try process.run()
        self.process = process
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

    /// The lines up to the one that says `last`.
    func lines(until last: String) async throws -> [String] {
        var found: [String] = []
        for try await line in lines {
            if line == last { return found }
            found.append(line)
        }
        throw Failure("\(name) ended before it said \"\(last)\"")
    }

    /// SIGKILL: it gets no chance to leave.
    func kill() {
        Foundation.kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }

    /// The orderly end: its input ends.
    func end() {
        try? input.close()
        process.waitUntilExit()
    }

    deinit {
        if process.isRunning { Foundation.kill(process.processIdentifier, SIGKILL) }
    }
}
