import Synchronization

/// A place where one task waits for one thing, which may also happen before it waits, or never.
final class Waiter<Value: Sendable>: Sendable {
    private enum State {
        case idle
        case waiting(CheckedContinuation<Value, Never>)
        case resolved(Value)
        case taken
    }

    private let state = Mutex(State.idle)

    init() {}

    /// The first call decides; the others return false.
    @discardableResult
    func resolve(_ value: Value) -> Bool {
        let continuation: CheckedContinuation<Value, Never>?
        switch state.withLock({ state in
            defer {
                switch state {
                case .idle: state = .resolved(value)
                case .waiting: state = .taken
                case .resolved, .taken: break
                }
            }
            return state
        }) {
        case .idle: return true
        case .waiting(let waiting): continuation = waiting
        case .resolved, .taken: return false
        }
        continuation?.resume(returning: value)
        return true
    }

    /// The value, when it is there already.
    func takeIfResolved() -> Value? {
        state.withLock { state in
            guard case .resolved(let value) = state else { return nil }
            state = .taken
            return value
        }
    }

    /// Waits for ``resolve(_:)``; to be called once.
    func value() async -> Value {
        await withCheckedContinuation { continuation in
            let value: Value? = state.withLock { state in
                switch state {
                case .idle:
                    state = .waiting(continuation)
                    return nil
                case .resolved(let value):
                    state = .taken
                    return value
                case .waiting, .taken:
                    preconditionFailure("a waiter has one task that waits")
                }
            }
            if let value { continuation.resume(returning: value) }
        }
    }

    /// Waits, and takes `late` where the deadline passes, or `cancelled` where the task is cancelled, before that.
    func value(until deadline: Duration?, on time: TimeSource, late: Value, cancelled: Value) async -> Value {
        if let value = takeIfResolved() { return value }
        let timer = deadline.map { deadline in
            Task { [weak self] in
                do { try await time.sleep(until: deadline) } catch { return }
                self?.resolve(late)
            }
        }
        defer { timer?.cancel() }
        return await withTaskCancellationHandler {
            await value()
        } onCancel: {
            resolve(cancelled)
        }
    }
}
