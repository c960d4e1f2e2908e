import Logging
import Synchronization
import Tidemark

/// What somebody does with each connection that is made.
struct ConnectionHooks: Sendable {
    /// Whether a connection is made anew by itself, and not only when a call needs one.
    var staysConnected = false
    /// On the thread of the connection; what throws makes it none.
    var setUp: @Sendable (PostgresSession) throws -> Void = { _ in }
    /// It is gone, or could not be made; told once for each failure that is another.
    var disconnected: @Sendable (PostgresError) -> Void = { _ in }
}

/// A bounded number of connections to one database, and the calls that wait for them: who runs what, when one is made,
/// when a call has waited for too long.
final class PostgresConnections: ConnectionOwner {
    private struct State {
        var queue: CallQueue
        var reconnecting: Reconnecting
        var connections: [PostgresConnection] = []
        /// Those that wait to be woken, and whether they are connected. Who became idle last comes last.
        var idle: [(number: Int, isConnected: Bool)] = []
        /// Whether a task waits for the first deadline of the queue.
        var hasTimer = false
        var isClosing = false
        /// Threads that have not ended.
        var running = 0
        var closers: [CheckedContinuation<Void, Never>] = []
    }

    let server: String
    private let address: PostgresAddress
    private let configuration: PostgresConfiguration
    private let limit: Int
    private let extra: [String: String]
    private let hooks: ConnectionHooks
    private let time: TimeSource
    private let logger: Logger
    private let state: Mutex<State>

    /// - Parameters:
    ///   - limit: how many connections there may be.
    ///   - extra: parameters that go before those of the address.
    init(
        _ address: PostgresAddress, _ configuration: PostgresConfiguration, limit: Int, extra: [String: String] = [:],
        hooks: ConnectionHooks = ConnectionHooks(), time: TimeSource, logger: Logger
    ) {
        precondition(limit > 0, "no connection serves nobody")
        server = address.server
        self.address = address
        self.configuration = configuration
        self.limit = limit
        self.extra = extra
        self.hooks = hooks
        self.time = time
        self.logger = logger
        state = Mutex(
            State(
                queue: CallQueue(limit: configuration.waitingLimit), reconnecting: Reconnecting(configuration)))
    }

    // MARK: Calls

    /// Runs `body` with a connection, on its thread; see ``PostgresPool/perform(limit:_:)``.
    func perform<Value: Sendable>(
        limit: Duration?, _ body: @escaping @Sendable (PostgresSession) throws -> Value
    ) async throws -> Value {
        let control = CallControl()
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                enqueue(
                    control, limit,
                    run: { session in
                        let result = Result { try body(session) }
                        return { continuation.resume(with: result) }
                    }, fail: { continuation.resume(throwing: $0) })
            }
        } onCancel: {
            // In this order: who puts the call into the queue after this looks at the control first.
            control.cancel()
            withdrawCancelled()
        }
    }

    /// Puts a call into the queue, or fails it.
    func submit(
        limit: Duration? = nil, run: @escaping @Sendable (PostgresSession) -> Void,
        fail: @escaping @Sendable (any Error) -> Void
    ) {
        enqueue(
            CallControl(), limit,
            run: { session in
                run(session)
                return nil
            }, fail: fail)
    }

    private func enqueue(
        _ control: CallControl, _ limit: Duration?,
        run: @escaping @Sendable (PostgresSession) -> (() -> Void)?,
        fail: @escaping @Sendable (any Error) -> Void
    ) {
        let now = time.now
        let call = PostgresCall(
            control: control, deadline: now + configuration.waitLimit, limit: limit ?? configuration.callLimit,
            run: run,
            fail: fail)
        let (refusal, woken) = state.withLock { state -> ((any Error)?, PostgresConnection?) in
            if control.isCancelled { return (CancellationError(), nil) }
            if state.isClosing { return (PostgresError.closed(server: server), nil) }
            if state.queue.isFull {
                return (PostgresError.tooManyWaiting(server: server, limit: configuration.waitingLimit), nil)
            }
            if let refusal = state.reconnecting.refusal(at: now) { return (refusal, nil) }
            state.queue.append(call)
            let (connection, takesItAtOnce) = takeIdle(&state)
            if !takesItAtOnce { limitWaits(&state) }
            return (nil, connection)
        }
        // Outside of the lock, for which its thread would only wait.
        woken?.wake()
        if let refusal { fail(refusal) }
    }

    /// Whom to wake for the next call, and whether it takes that at once: a connection that is there does, and puts it back where
    /// it turns out to be none.
    private func takeIdle(_ state: inout State) -> (connection: PostgresConnection?, takesItAtOnce: Bool) {
        if let place = state.idle.lastIndex(where: \.isConnected) ?? state.idle.indices.last {
            let (number, isConnected) = state.idle.remove(at: place)
            return (state.connections[number], isConnected)
        }
        if state.connections.count < limit { addConnection(&state) }
        return (nil, false)
    }

    private func addConnection(_ state: inout State) {
        let connection = PostgresConnection(
            number: state.connections.count, address, configuration, extra: extra, time: { [time] in time.now })
        state.connections.append(connection)
        state.running += 1
        connection.start(for: self)
    }

    /// Makes the first connection without a call.
    func begin() {
        state.withLock { if $0.connections.isEmpty, !$0.isClosing { addConnection(&$0) } }
    }

    /// Has calls that wait for too long fail.
    private func limitWaits(_ state: inout State) {
        guard !state.hasTimer, let deadline = state.queue.deadline else { return }
        state.hasTimer = true
        Task { [weak self, time] in
            // Fails only for a task that is cancelled, and nobody cancels this one.
            try? await time.sleep(until: deadline)
            self?.failLateCalls()
        }
    }

    private func failLateCalls() {
        let (late, failure) = state.withLock { state in
            state.hasTimer = false
            let late = state.queue.removeLate(at: time.now)
            limitWaits(&state)
            return (late, state.reconnecting.failure)
        }
        for call in late {
            call.fail(
                PostgresError.noConnection(
                    server: server, limit: configuration.waitLimit, because: failure?.description))
        }
    }

    private func withdrawCancelled() {
        for call in state.withLock({ $0.queue.removeCancelled() }) { call.fail(CancellationError()) }
    }

    // MARK: Connections

    func order(for connection: PostgresConnection, isConnected: Bool) -> ConnectionOrder {
        let now = time.now
        return state.withLock { state in
            state.idle.removeAll { $0.number == connection.number }
            if state.isClosing, state.queue.isEmpty { return .end }
            if isConnected, let call = state.queue.popFirst() { return .run(call) }
            if isConnected || state.queue.isEmpty && !hooks.staysConnected {
                state.idle.append((connection.number, isConnected))
                return .wait(until: nil)
            }
            let nextAttempt = state.reconnecting.nextAttempt
            return now < nextAttempt ? .wait(until: nextAttempt) : .connect
        }
    }

    func connected(_ connection: PostgresConnection, _ session: PostgresSession) throws {
        try hooks.setUp(session)
        let wasFailing = state.withLock { $0.reconnecting.connected() }
        if wasFailing { logger.notice("PostgreSQL is back", metadata: ["server": "\(server)"]) }
    }

    func connectingFailed(_ connection: PostgresConnection, _ error: any Error) {
        let failure = error as? PostgresError ?? .cannotConnect(server: server, sqlState: nil, problem: "\(error)")
        let now = time.now
        let (calls, isNew) = state.withLock { state in
            let (failsCalls, isNew) = state.reconnecting.failed(failure, at: now, random: Double.random(in: 0..<1))
            return (failsCalls ? state.queue.removeAll() : [], isNew)
        }
        if isNew {
            logger.warning("no connection to PostgreSQL", metadata: ["error": "\(failure)"])
            hooks.disconnected(failure)
        }
        for call in calls { call.fail(failure) }
    }

    func lost(_ connection: PostgresConnection, afterLasting lasted: Duration, _ problem: String) {
        let now = time.now
        state.withLock {
            $0.reconnecting.lost(afterLasting: lasted, at: now, random: Double.random(in: 0..<1))
            // Otherwise a call that waits from now on would not be bounded.
            limitWaits(&$0)
        }
        logger.debug("a connection to PostgreSQL is gone", metadata: ["server": "\(server)", "problem": "\(problem)"])
        hooks.disconnected(.lost(server: server, problem: problem, mayHaveHappened: false))
    }

    func putBack(_ call: PostgresCall) {
        let refusal = state.withLock { state -> (any Error)? in
            if call.control.isCancelled { return CancellationError() }
            if state.isClosing { return PostgresError.closed(server: server) }
            state.queue.putBack(call)
            limitWaits(&state)
            return nil
        }
        if let refusal { call.fail(refusal) }
    }

    func ended(_ connection: PostgresConnection) {
        let closers = state.withLock { state in
            state.running -= 1
            if state.running > 0 { return [CheckedContinuation<Void, Never>]() }
            defer { state.closers = [] }
            return state.closers
        }
        for closer in closers { closer.resume() }
    }

    // MARK: Closing

    /// Takes no more calls, and fails those that wait. Those that run come to their end.
    func beginClosing() {
        let calls = state.withLock { state in
            state.isClosing = true
            for connection in state.connections { connection.wake() }
            return state.queue.removeAll()
        }
        for call in calls { call.fail(PostgresError.closed(server: server)) }
    }

    /// Waits until all threads have ended, after ``beginClosing()``.
    func waitUntilEnded() async {
        await withCheckedContinuation { continuation in
            let isOver = state.withLock { state in
                if state.running > 0 { state.closers.append(continuation) }
                return state.running == 0
            }
            if isOver { continuation.resume() }
        }
    }
}
