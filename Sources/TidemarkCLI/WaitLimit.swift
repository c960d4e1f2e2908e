import Synchronization
import Tidemark

/// Watches how long one wait after the other takes.
final class WaitLimit: Sendable {
    private struct State {
        var began: ContinuousClock.Instant?
        var position: StreamID
    }

    private let clock = ContinuousClock()
    private let state: Mutex<State>

    init(after position: StreamID) {
        state = Mutex(State(position: position))
    }

    /// Where the reader is.
    var position: StreamID { state.withLock { $0.position } }

    func begin() {
        let now = clock.now
        state.withLock { $0.began = now }
    }

    func end(at position: StreamID) {
        state.withLock { $0 = State(position: position) }
    }

    /// Whether the wait that is going on has lasted for so long.
    func hasLasted(_ limit: Duration) -> Bool {
        state.withLock { $0.began.map { $0 + limit <= clock.now } ?? false }
    }

    /// Returns when one wait has lasted longer than the limit.
    ///
    /// - Throws: `CancellationError`.
    func expiry(of limit: Duration) async throws {
        while true {
            // A wait that begins later than now cannot be over sooner than this.
            let deadline = (state.withLock { $0.began } ?? clock.now) + limit
            if clock.now >= deadline, hasLasted(limit) { return }
            try await clock.sleep(until: max(deadline, clock.now + .milliseconds(1)))
        }
    }
}
