import Dispatch
import Foundation
import Synchronization
import TestSupport

/// The processes that were started. All of them are ended, by their numbers, whatever happens to this one: on an
/// interrupt here, and where this process is killed they find that their input has ended.
final class Children: Sendable {
    private struct State {
        var programs: [String: Program] = [:]
        /// They live as long as the program does.
        var sources: [any DispatchSourceSignal] = []
    }

    private let folder: String
    private let state = Mutex(State())

    init(folder: String) {
        self.folder = folder
        for number in [SIGINT, SIGTERM, SIGHUP] {
            signal(number, SIG_IGN)
            state.withLock { state in
                let source = DispatchSource.makeSignalSource(signal: number)
                source.setEventHandler { [self] in
                    killAll()
                    exit(128 + number)
                }
                source.activate()
                state.sources.append(source)
            }
        }
    }

    /// Starts a process of this program, and waits until it says that it is ready.
    func start(_ name: String, _ arguments: [String]) async throws -> Program {
        let program = try Program(
            executable: Program.executable("CrashTest"), arguments + ["--folder", folder])
        state.withLock { $0.programs[name] = program }
        do {
            try await eventually("\(name) is ready", within: .seconds(60)) {
                program.lines.contains("ready") || !program.isRunning
            }
        } catch { throw Failure("\(error): \(program.errors)") }
        guard program.isRunning else { throw Failure("\(name) ended at its start: \(program.errors)") }
        return program
    }

    subscript(name: String) -> Program? { state.withLock { $0.programs[name] } }

    /// As a crash would. Its standard error stays.
    func kill(_ name: String) async throws {
        guard let program = self[name] else { return }
        guard program.isRunning else { throw Failure("\(name) ended by itself: \(program.errors)") }
        try await program.killAndWait()
        try keepErrors(of: name, program)
    }

    /// In order: its input ends, and it has to end well.
    func end(_ name: String) async throws {
        guard let program = self[name] else { return }
        program.endInput()
        let outcome = try await program.outcome()
        try keepErrors(of: name, program)
        guard outcome.status == 0 else {
            throw Failure("\(name) ended with \(outcome.status): \(outcome.errors.suffix(2000))")
        }
    }

    /// Fails where one has ended by itself.
    func check() throws {
        for (name, program) in state.withLock({ $0.programs }) where !program.isRunning {
            throw Failure("\(name) ended by itself: \(program.errors.suffix(2000))")
        }
    }

    func killAll() {
        for (name, program) in state.withLock({ $0.programs }) {
            program.send(SIGKILL)
            try? keepErrors(of: name, program)
        }
    }

    private func keepErrors(of name: String, _ program: Program) throws {
        state.withLock { $0.programs[name] = nil }
        guard !program.errors.isEmpty else { return }
        let path = "\(folder)/\(name).log"
        let before = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
        try (before + program.errors).write(toFile: path, atomically: true, encoding: .utf8)
    }
}
