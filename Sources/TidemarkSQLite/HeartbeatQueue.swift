import GRDB
import Synchronization
import Tidemark

/// The heartbeats that wait for their turn to write: all of them go into the next transaction.
///
/// Whoever finds no write scheduled schedules one. There is at most one request a caller, and each waits for its
/// answer, so the queue is as long as the process has callers.
final class HeartbeatQueue: Sendable {
    struct Request: Sendable {
        let number: Int
        let beats: [Heartbeat]
        let continuation: CheckedContinuation<[HeartbeatAnswer], any Error>
    }

    /// Of one request; its error fails nobody else.
    typealias Answer = Result<[HeartbeatAnswer], any Error>

    private struct State {
        var requests: [Request] = []
        var isScheduled = false
        /// The write that was scheduled, once its place in the queue is known.
        var job: Int?
        var lastNumber = 0
    }

    private let state = Mutex(State())

    func makeNumber() -> Int {
        state.withLock { state in
            state.lastNumber += 1
            return state.lastNumber
        }
    }

    /// Whether the caller has to schedule a write; ``isScheduled(as:)`` follows.
    func add(_ request: Request) -> Bool {
        state.withLock { state in
            state.requests.append(request)
            defer { state.isScheduled = true }
            return !state.isScheduled
        }
    }

    func isScheduled(as job: Int) {
        state.withLock { state in
            // It may have run by now.
            if state.isScheduled { state.job = job }
        }
    }

    /// Fails a request that waits with a `CancellationError`. Returns the scheduled write where nothing waits for it any
    /// more.
    func withdraw(_ number: Int) -> Int? {
        let (request, job): (Request?, Int?) = state.withLock { state in
            let index = state.requests.firstIndex { $0.number == number }
            let request = index.map { state.requests.remove(at: $0) }
            guard state.requests.isEmpty, let job = state.job else { return (request, nil) }
            state.isScheduled = false
            state.job = nil
            return (request, job)
        }
        request?.continuation.resume(throwing: CancellationError())
        return job
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
            defer { state = State(lastNumber: state.lastNumber) }
            return state.requests
        }
    }
}
