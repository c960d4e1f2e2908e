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

    /// Whether somebody has decided, so that the next call of ``resolve(_:)`` will not.
    var isResolved: Bool {
        state.withLock { state in
            switch state {
            case .idle, .waiting: false
            case .resolved, .taken: true
            }
        }
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

/// The task's value. A caller that is cancelled does not wait for it any more; the task goes on, because others may wait for
/// it too.
///
/// - Throws: what the task throws, or `CancellationError`.
func valueUnlessCancelled<Value: Sendable>(of task: Task<Value, any Error>) async throws -> Value {
    let waiter = Waiter<Result<Value, any Error>>()
    Task { _ = waiter.resolve(await task.result) }
    return try await withTaskCancellationHandler {
        try await waiter.value().get()
    } onCancel: {
        waiter.resolve(.failure(CancellationError()))
    }
}

/// Runs `body` in a task of its own until the deadline at most: then it is cancelled and not waited for any more, and
/// this returns nil. That the caller is cancelled changes nothing.
func limited<Value: Sendable>(
    until deadline: Duration, on time: TimeSource, _ body: @escaping @Sendable () async -> Value
) async -> Value? {
    let waiter = Waiter<Value?>()
    let task = Task { _ = waiter.resolve(await body()) }
    let timer = Task {
        do { try await time.sleep(until: deadline) } catch { return }
        if waiter.resolve(nil) { task.cancel() }
    }
    defer { timer.cancel() }
    return await waiter.value()
}
