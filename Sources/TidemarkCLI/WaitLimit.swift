import Synchronization

/// Watches how long one wait after the other takes.
final class WaitLimit: Sendable {
    private let clock = ContinuousClock()
    private let began = Mutex<ContinuousClock.Instant?>(nil)

    func begin() {
        let now = clock.now
        began.withLock { $0 = now }
    }

    func end() {
        began.withLock { $0 = nil }
    }

    /// Returns when one wait has lasted longer than the limit.
    ///
    /// - Throws: `CancellationError`.
    func expiry(of limit: Duration) async throws {
        while true {
            // A wait that begins later than now cannot be over sooner than this.
            let deadline = (began.withLock { $0 } ?? clock.now) + limit
            if clock.now >= deadline, began.withLock({ $0.map { $0 + limit <= clock.now } ?? false }) { return }
            try await clock.sleep(until: max(deadline, clock.now + .milliseconds(1)))
        }
    }
}
