import Synchronization

extension MultiWriterIDGenerator {
    /// Returns when the watermark is not `old` any more, at the deadline, or when the task is cancelled.
    func waitForChange(from old: Watermark, until deadline: Duration?) async {
        let waiter = Waiter<Void>()
        let isWaiting = state.withLock { state in
            let watermark = state.tracker.watermark
            guard watermark.membershipVersion == old.membershipVersion, outward(watermark.minimum) == old.minimum else {
                return false
            }
            state.add(waiter)
            return true
        }
        guard isWaiting else { return }
        await waiter.value(until: deadline, on: time, late: (), cancelled: ())
        state.withLock { $0.remove(waiter) }
    }

    /// Wakes everybody who waits for the watermark, so that they look at something else too.
    func wakeWaiters() {
        let waiters = state.withLock { $0.takeWaiters() }
        for waiter in waiters { waiter.resolve(()) }
    }
}
