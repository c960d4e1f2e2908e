import Synchronization

/// Calls a state machine when it asked to be called: one deadline at a time, the latest that was set.
final class DeadlineTimer: Sendable {
    private let time: TimeSource
    private let state = Mutex<(deadline: Duration, task: Task<Void, Never>)?>(nil)

    init(time: TimeSource) { self.time = time }

    /// Nil: not at all.
    func set(_ deadline: Duration?, _ body: @escaping @Sendable () -> Void) {
        state.withLock { state in
            if state?.deadline == deadline { return }
            state?.task.cancel()
            guard let deadline else {
                state = nil
                return
            }
            let task = Task { [weak self, time] in
                do { try await time.sleep(until: deadline) } catch { return }
                guard let self, self.take(deadline) else { return }
                body()
            }
            state = (deadline, task)
        }
    }

    /// Whether the deadline is still the one that was set.
    private func take(_ deadline: Duration) -> Bool {
        state.withLock { state in
            guard state?.deadline == deadline else { return false }
            state = nil
            return true
        }
    }
}
