import Logging
import Synchronization
import Tidemark

/// The one connection of a process that goes to the server itself: it listens, it notifies, and its lock is the
/// process's sign of life.
///
/// It is made anew whenever it is lost, for as long as it is open, with growing delays. What was said in between was
/// missed, and the sign of life is another one then: so whoever listens is told, and reconciles.
final class DirectConnection: Sendable {
    /// What becomes of the connection.
    enum Change: Sendable {
        /// It is there, listens, and holds this lock. What was said before this moment may have been missed.
        case connected(SignOfLife)
        /// It is not there; the lock goes, or is gone. Told once for each failure that is another.
        case disconnected(PostgresError)
    }

    /// Somebody who is told. The functions are called on the connection's thread, one at a time, and must not block.
    struct Listener: Sendable {
        let changed: @Sendable (Change) -> Void
        /// What was said on the channel, and the server's process that its sender is connected to.
        var heard: @Sendable (PostgresSession.Notification) -> Void = { _ in }
    }

    /// A listener that can be taken away while it is told something.
    private final class Registration: Sendable {
        let channel: String?
        private let listener: Mutex<Listener?>

        init(channel: String?, _ listener: Listener) {
            self.channel = channel
            self.listener = Mutex(listener)
        }

        func tell(_ change: Change) { listener.withLock { $0?.changed(change) } }

        func tell(_ notification: PostgresSession.Notification) {
            if notification.channel == channel { listener.withLock { $0?.heard(notification) } }
        }

        func end() { listener.withLock { $0 = nil } }
    }

    private struct State {
        var registrations: [Int: Registration] = [:]
        var lastNumber = 0
        var life: SignOfLife?
        var processID: Int32?
        /// What the session listens to.
        var channels: Set<String> = []
    }

    /// What the connection's thread holds.
    private final class Shared: Sendable {
        let state = Mutex(State())

        func tell(_ change: Change) {
            for registration in registrations { registration.tell(change) }
        }

        var registrations: [Registration] { state.withLock { Array($0.registrations.values) } }

        func disconnected(_ error: PostgresError) {
            state.withLock { ($0.life, $0.processID, $0.channels) = (nil, nil, []) }
            tell(.disconnected(error))
        }
    }

    private let shared = Shared()
    private let connections: PostgresConnections

    init(
        _ configuration: PostgresConfiguration, time: TimeSource = .continuous,
        logger: Logger = Logger(label: "tidemark.postgresql")
    ) {
        let hooks = ConnectionHooks(
            staysConnected: true, setUp: { [shared] in try Self.setUp($0, shared) },
            disconnected: { [shared] in shared.disconnected($0) })
        connections = PostgresConnections(
            configuration.directAddress ?? configuration.address, configuration, limit: 1, extra: Self.parameters,
            hooks: hooks, time: time, logger: logger)
    }

    deinit { connections.beginClosing() }

    var server: String { connections.server }

    /// The lock that this process holds now; nil while there is no connection.
    var signOfLife: SignOfLife? { shared.state.withLock { $0.life } }

    /// The server's process at the other end, from which one's own notifications come; nil while there is no
    /// connection.
    var processID: Int32? { shared.state.withLock { $0.processID } }

    /// Connects, if that was not begun, and waits for the connection.
    ///
    /// - Throws: ``PostgresError`` when the first attempt fails, or the connection is not back within
    ///   ``PostgresConfiguration/waitLimit``. Further attempts are made all the same, until ``close()``.
    @discardableResult
    func start() async throws -> SignOfLife {
        try await perform { [shared] session in
            guard let life = shared.state.withLock({ $0.life }) else {
                throw PostgresError.lost(server: session.server, problem: "it is gone", mayHaveHappened: false)
            }
            return life
        }
    }

    /// Connects, if that was not begun, and waits for nothing.
    func begin() { connections.begin() }

    /// Tells what becomes of the connection, and what is said on a channel, until ``remove(_:)``.
    ///
    /// Where there is a connection, the listener is told ``Change/connected(_:)`` as soon as that listens to the
    /// channel.
    ///
    /// - Parameter channel: at most 63 small letters, digits and underscores; nil to be told only of the connection.
    /// - Returns: a number for ``remove(_:)``.
    func add(_ listener: Listener, to channel: String? = nil) -> Int {
        if let channel {
            precondition(
                channel.wholeMatch(of: /[a-z][a-z0-9_]{0,62}/) != nil, "\(channel) is no name that needs no quotes")
        }
        let registration = Registration(channel: channel, listener)
        let (number, isConnected) = shared.state.withLock { state in
            state.lastNumber += 1
            state.registrations[state.lastNumber] = registration
            return (state.lastNumber, state.life != nil)
        }
        // Otherwise it is told when there is a connection, which listens to all channels.
        guard isConnected else { return number }
        connections.submit { [shared] session in
            guard let life = shared.state.withLock({ $0.life }) else { return }
            do {
                try Self.listen(session, shared)
                registration.tell(.connected(life))
            } catch {
                registration.tell(.disconnected(Self.error(error, session.server)))
            }
        } fail: { [server] error in
            registration.tell(.disconnected(Self.error(error, server)))
        }
        return number
    }

    /// After this has returned the listener is told nothing more.
    func remove(_ number: Int) {
        // It is still listened to on its channel: that nobody takes what is heard there costs little.
        shared.state.withLock { $0.registrations.removeValue(forKey: number) }?.end()
    }

    /// Runs `body` on the connection, which everything else waits for meanwhile; see
    /// ``PostgresPool/perform(limit:_:)``.
    func perform<Value: Sendable>(
        limit: Duration? = nil, _ body: @escaping @Sendable (PostgresSession) throws -> Value
    ) async throws -> Value {
        try await connections.perform(limit: limit, body)
    }

    /// The same for whoever does not wait. `fail` is called where it was not run.
    func submit(
        limit: Duration? = nil, run: @escaping @Sendable (PostgresSession) -> Void,
        fail: @escaping @Sendable (any Error) -> Void
    ) {
        connections.submit(limit: limit, run: run, fail: fail)
    }

    /// Ends it, and with it the sign of life.
    func close() async {
        connections.beginClosing()
        await connections.waitUntilEnded()
    }

    // MARK: On the connection's thread

    /// So that either side notices within some 4 s that the other is gone.
    private static let parameters = [
        "keepalives": "1", "keepalives_idle": "1", "keepalives_interval": "1", "keepalives_count": "3",
        "tcp_user_timeout": "3000",
    ]

    private static func setUp(_ session: PostgresSession, _ shared: Shared) throws {
        let processID = try session.query("SELECT pg_backend_pid()").int64(0, 0)
        guard processID == session.processID else { throw PostgresError.poolerInFront(server: session.server) }
        // The server's side of the same, and no end for a session that has nothing to say.
        try session.query(
            """
            SELECT set_config(name, value, false) FROM (VALUES ('tcp_keepalives_idle', '1'), ('tcp_keepalives_interval', '1'), \
            ('tcp_keepalives_count', '3'), ('tcp_user_timeout', '3000'), ('idle_session_timeout', '0')) AS wanted (name, value) \
            WHERE current_setting(name, true) IS NOT NULL
            """)
        let life = try takeLock(session)
        try listen(session, shared)
        shared.state.withLock { ($0.life, $0.processID) = (life, session.processID) }
        session.hear = { [shared] notification in
            for registration in shared.registrations { registration.tell(notification) }
        }
        // Whoever came since has no call of its own yet, because there was no connection.
        try listen(session, shared)
        shared.tell(.connected(life))
    }

    private static func takeLock(_ session: PostgresSession) throws -> SignOfLife {
        // That a random key is taken happens as good as never, and twice less often than that.
        for _ in 0..<3 {
            let life = SignOfLife.random()
            if try session.query("SELECT pg_try_advisory_lock($1)", [.int64(life.key)]).bool(0, 0) { return life }
        }
        throw PostgresError.unexpectedAnswer(server: session.server, problem: "all random locks are taken")
    }

    /// Listens to all channels that somebody is told of.
    private static func listen(_ session: PostgresSession, _ shared: Shared) throws {
        let missing = shared.state.withLock { state in
            Set(state.registrations.values.compactMap(\.channel)).subtracting(state.channels)
        }
        for channel in missing {
            try session.query("LISTEN \(channel)")
            shared.state.withLock { _ = $0.channels.insert(channel) }
        }
    }

    private static func error(_ error: any Error, _ server: String) -> PostgresError {
        error as? PostgresError ?? .cannotConnect(server: server, sqlState: nil, problem: "\(error)")
    }
}

/// The session lock by which others see that a process is connected: it is gone when the process is, and a few seconds
/// after its network was cut.
struct SignOfLife: Hashable, Sendable {
    /// The key of an advisory lock of one number. The upper 16 bits are the same for all of ours, the rest is random: a
    /// new one for each connection.
    let key: Int64

    static let keyPrefix: Int64 = 0x7469

    static func random() -> SignOfLife {
        SignOfLife(key: keyPrefix << 48 | Int64.random(in: 0..<1 << 48))
    }

    /// An SQL expression that is true when nobody holds the lock of this key; the database is that of the session.
    ///
    /// It takes the lock itself until the transaction ends, in the mode that does not keep others from the same look.
    /// The holder's is exclusive, and no process takes a key that another one had.
    static func isGone(key: String) -> String { "pg_try_advisory_xact_lock_shared(\(key))" }
}
