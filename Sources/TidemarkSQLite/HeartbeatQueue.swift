import GRDB
import Synchronization
import Tidemark

/// The heartbeats that wait for their turn to write: all of them go into the next transaction.
///
/// Whoever finds no write scheduled schedules one. There is at most one request a caller, and each waits for its
/// answer, so the queue is as long as the process has callers.
final class HeartbeatQueue: Sendable {
    struct Request: Sendable {
        let beats: [Heartbeat]
        let continuation: CheckedContinuation<[HeartbeatAnswer], any Error>
    }

    /// Of one request; its error fails nobody else.
    typealias Answer = Result<[HeartbeatAnswer], any Error>

    private struct State {
        var requests: [Request] = []
        var isScheduled = false
    }

    private let state = Mutex(State())

    /// Whether the caller has to schedule a write.
    func add(_ request: Request) -> Bool {
        state.withLock { state in
            state.requests.append(request)
            defer { state.isScheduled = true }
            return !state.isScheduled
        }
    }

    /// Writes all that wait when the transaction has begun, or fails them when it does not begin or commit.
    func write(
        _ write: HeartbeatWrite,
        in transaction: ((Database) throws -> [Answer]) throws -> [Answer]
    ) {
        var requests: [Request]?
        do {
            let answers = try transaction { db in
                let taken = takeAll()
                requests = taken
                return try taken.map { try write.answer($0.beats, in: db) }
            }
            for (request, answer) in zip(requests ?? [], answers) {
                request.continuation.resume(with: answer)
            }
        } catch {
            for request in requests ?? takeAll() {
                request.continuation.resume(throwing: error)
            }
        }
    }

    /// How many requests wait.
    var count: Int { state.withLock { $0.requests.count } }

    private func takeAll() -> [Request] {
        state.withLock { state in
            defer { state = State() }
            return state.requests
        }
    }
}
