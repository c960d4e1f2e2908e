import GRDB
import Synchronization
import Tidemark

/// The heartbeats that wait for their turn to write: all of them go into the next transaction.
///
/// A caller that finds no write scheduled schedules one, with the deadline of its request. Later requests have later deadlines:
/// where that write waits in vain, another is scheduled for those that may wait longer. There is at most one request a caller,
/// and each waits for its answer, so the queue is as long as the process has callers.
///
/// Invariant: while requests wait, one write is scheduled that will take them.
final class HeartbeatQueue: Sendable {
    struct Request: Sendable {
        let number: Int
        let beats: [Heartbeat]
        /// Until when it waits for the write lock, by the clock of the queue of writes.
        let deadline: Duration
        let continuation: CheckedContinuation<[HeartbeatAnswer], any Error>
    }

    /// The answer to one request; its error fails no other one.
    typealias Answer = Result<[HeartbeatAnswer], any Error>

    /// Puts the write of this number into the queue of writes, until the deadline, and returns by which number it can be
    /// taken out again. It is called under this queue's lock: it does not run the write itself, ``write(_:_:in:)`` follows.
    typealias Schedule = @Sendable (_ write: Int, _ deadline: Duration) throws -> Int

    private struct State {
        var requests: [Request] = []
        /// The write that will take the requests, and its place in the queue of writes.
        var scheduled: (write: Int, job: Int)?
        var lastNumber = 0

        mutating func makeNumber() -> Int {
            lastNumber += 1
            return lastNumber
        }

        /// Takes the requests of a write that is still scheduled; none where all of them were withdrawn.
        mutating func takeAll(for write: Int) -> [Request] {
            guard scheduled?.write == write else { return [] }
            defer { (requests, scheduled) = ([], nil) }
            return requests
        }
    }

    private let state = Mutex(State())
    private let now: @Sendable () -> Duration

    /// - Parameter now: the clock of the queue of writes.
    init(now: @escaping @Sendable () -> Duration = SQLiteConfiguration.systemAwakeTime) { self.now = now }

    func makeNumber() -> Int { state.withLock { $0.makeNumber() } }

    /// Puts the request into the next write, and schedules one where there is none.
    func add(_ request: Request, schedule: Schedule) {
        let refusal: (any Error)? = state.withLock { state in
            if state.scheduled == nil {
                let write = state.makeNumber()
                do { state.scheduled = (write, try schedule(write, request.deadline)) } catch { return error }
            }
            state.requests.append(request)
            return nil
        }
        if let refusal { request.continuation.resume(throwing: refusal) }
    }

    /// Fails a request that waits with a `CancellationError`. Returns the place of the scheduled write where nothing waits
    /// for it any more.
    func withdraw(_ number: Int) -> Int? {
        let (request, job): (Request?, Int?) = state.withLock { state in
            let index = state.requests.firstIndex { $0.number == number }
            let request = index.map { state.requests.remove(at: $0) }
            guard state.requests.isEmpty, let scheduled = state.scheduled else { return (request, nil) }
            state.scheduled = nil
            return (request, scheduled.job)
        }
        request?.continuation.resume(throwing: CancellationError())
        return job
    }

    /// Writes all that wait when the transaction has begun. Where it does not begin in time, those fail that have waited
    /// for as long as they may; where it does not begin for another reason, or does not commit, all do.
    ///
    /// - Parameter number: of a write that was scheduled; one for which nobody waits any more fails nobody.
    func write(
        _ number: Int, _ write: HeartbeatWrite, schedule: Schedule,
        in transaction: ((Database) throws -> [Answer]) throws -> [Answer]
    ) {
        var requests: [Request]?
        do {
            let answers = try transaction { db in
                let taken = state.withLock { $0.takeAll(for: number) }
                requests = taken
                return try taken.map { try write.answer($0.beats, in: db) }
            }
            for (request, answer) in zip(requests ?? [], answers) {
                request.continuation.resume(with: answer)
            }
        } catch {
            for (request, error) in requests?.map({ ($0, error) }) ?? failing(number, error, schedule) {
                request.continuation.resume(throwing: error)
            }
        }
    }

    /// How many requests wait.
    var count: Int { state.withLock { $0.requests.count } }

    /// Those that fail because this write has not begun. The others wait on, for another write.
    private func failing(
        _ number: Int, _ error: any Error, _ schedule: Schedule
    ) -> [(request: Request, error: any Error)] {
        let now = now()
        return state.withLock { state in
            let waiting = state.takeAll(for: number)
            guard case TidemarkError.writeLockHeld = error else { return waiting.map { ($0, error) } }
            let expired = waiting.filter { $0.deadline <= now }.map { (request: $0, error: error) }
            let rest = waiting.filter { $0.deadline > now }
            guard let deadline = rest.map(\.deadline).min() else { return expired }
            let write = state.makeNumber()
            do {
                state.scheduled = (write, try schedule(write, deadline))
                state.requests = rest
                return expired
            } catch let refusal {
                return expired + rest.map { ($0, refusal) }
            }
        }
    }
}
