import Synchronization

extension MultiWriterIDGenerator {
    /// Returns when the watermark is not `old` any more, at the deadline, or when the task is cancelled.
    func waitForChange(from old: Watermark, until deadline: Duration?) async {
        let waiter = Waiter<Void>()
        let key = ObjectIdentifier(waiter)
        let isWaiting = state.withLock { state in
            let watermark = state.tracker.watermark
            guard watermark.membershipVersion == old.membershipVersion, outward(watermark.minimum) == old.minimum else {
                return false
            }
            state.waiters[key] = waiter
            return true
        }
        guard isWaiting else { return }
        await waiter.value(until: deadline, on: time, late: (), cancelled: ())
        state.withLock { _ = $0.waiters.removeValue(forKey: key) }
    }

    /// Wakes everybody who waits for the watermark, so that they look at something else too.
    func wakeWaiters() {
        let waiters = state.withLock { state in
            defer { state.waiters = [:] }
            return Array(state.waiters.values)
        }
        for waiter in waiters { waiter.resolve(()) }
    }
}
