/// Something to be done with a connection, on its thread.
struct PostgresCall: Sendable {
    let control: CallControl
    /// Until when it waits.
    let deadline: Duration
    /// For how long it may run.
    let limit: Duration
    /// Returns what tells the caller of it, which is called when the connection is free for the next call.
    let run: @Sendable (PostgresSession) -> (() -> Void)?
    /// It was not run.
    let fail: @Sendable (any Error) -> Void
}

/// The calls that wait for a connection, with a bound.
struct CallQueue {
    private var calls: [PostgresCall] = []
    private let limit: Int

    init(limit: Int) { self.limit = limit }

    var isEmpty: Bool { calls.isEmpty }
    var isFull: Bool { calls.count >= limit }
    /// When the next of them has waited for too long. All wait equally long, so that the first is the next.
    var deadline: Duration? { calls.first?.deadline }

    mutating func append(_ call: PostgresCall) { calls.append(call) }

    /// A call that was taken out and found no connection has its place back.
    mutating func putBack(_ call: PostgresCall) { calls.insert(call, at: 0) }

    mutating func popFirst() -> PostgresCall? { calls.isEmpty ? nil : calls.removeFirst() }

    mutating func removeCancelled() -> [PostgresCall] {
        let cancelled = calls.filter { $0.control.isCancelled }
        if !cancelled.isEmpty { calls.removeAll { $0.control.isCancelled } }
        return cancelled
    }

    mutating func removeLate(at now: Duration) -> [PostgresCall] {
        let late = calls.prefix { $0.deadline <= now }
        calls.removeFirst(late.count)
        return Array(late)
    }

    mutating func removeAll() -> [PostgresCall] {
        defer { calls = [] }
        return calls
    }
}
