import Foundation
import Synchronization

/// A line on standard error, when that is a terminal, that says how far the program is. Rewritten in place, at most
/// five times a second.
final class Progress: Sendable {
    private let label: String
    private let isShown: Bool
    private let total = Mutex(0)

    /// Whether somebody sees standard error.
    static var isTerminal: Bool { isatty(STDERR_FILENO) == 1 }

    init(label: String, isShown: Bool = Progress.isTerminal) {
        self.label = label
        self.isShown = isShown
    }

    func add(_ count: Int) {
        total.withLock { $0 += count }
    }

    /// Shows the line while `body` runs, and clears it at the end.
    func shown<Value: Sendable>(_ body: @Sendable () async throws -> Value) async throws -> Value {
        if !isShown { return try await body() }
        return try await withThrowingTaskGroup(of: Value?.self) { group in
            group.addTask {
                await self.keepShowing()
                return nil
            }
            defer {
                group.cancelAll()
                StandardStreams.writeError(Array("\r\u{1B}[K".utf8))
            }
            return try await body()
        }
    }

    private func keepShowing() async {
        let clock = ContinuousClock()
        let start = clock.now
        while true {
            do { try await clock.sleep(for: .milliseconds(200)) } catch { return }
            let text = Self.text(count: total.withLock { $0 }, label: label, elapsed: clock.now - start)
            StandardStreams.writeError(Array("\r\(text)\u{1B}[K".utf8))
        }
    }

    static func text(count: Int, label: String, elapsed: Duration) -> String {
        let perSecond = Double(count) / max(elapsed / .seconds(1), 0.001)
        return "\(count) events \(label), \(Int(perSecond)) a second"
    }
}
