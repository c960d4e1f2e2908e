import Foundation

/// What a connection does next.
enum ConnectionOrder {
    /// Connect, and then ask again.
    case connect
    case run(PostgresCall)
    /// Wait until it is woken, or this moment has come, or the server says something.
    case wait(until: Duration?)
    /// Close it and end the thread.
    case end
}

/// The owner of connections, which says what they do. Everything is called on the connection's thread.
protocol ConnectionOwner: AnyObject, Sendable {
    /// - Parameter isConnected: whether there is a connection to the server.
    func order(for connection: PostgresConnection, isConnected: Bool) -> ConnectionOrder
    /// A connection was made, and is used unless this throws.
    func connected(_ connection: PostgresConnection, _ session: PostgresSession) throws
    func connectingFailed(_ connection: PostgresConnection, _ error: any Error)
    /// A connection that had lasted so long is gone. The caller of a call that was under way on it knows already.
    func lost(_ connection: PostgresConnection, afterLasting lasted: Duration, _ problem: String)
    /// A call that was taken has found no connection.
    func putBack(_ call: PostgresCall)
    func ended(_ connection: PostgresConnection)
}

/// A thread with one connection to a server, which is made anew when it was lost.
final class PostgresConnection: Sendable {
    let number: Int
    private let address: PostgresAddress
    private let configuration: PostgresConfiguration
    /// Parameters that go before those of the address.
    private let extra: [String: String]
    private let time: @Sendable () -> Duration
    private let pipe = WakePipe()

    init(
        number: Int, _ address: PostgresAddress, _ configuration: PostgresConfiguration, extra: [String: String] = [:],
        time: @escaping @Sendable () -> Duration
    ) {
        self.number = number
        self.address = address
        self.configuration = configuration
        self.extra = extra
        self.time = time
    }

    /// Begins. The thread holds the owner until it ends.
    func start(for owner: any ConnectionOwner) {
        let thread = Thread { self.run(for: owner) }
        thread.name = "tidemark-pg-\(number)"
        thread.start()
    }

    /// Has the thread ask for its next order.
    func wake() { pipe.wake() }

    private func run(for owner: any ConnectionOwner) {
        var current: (session: PostgresSession, since: Duration)?
        /// What tells the caller of the last call.
        var tell: (() -> Void)?
        /// Whether the socket was just seen to have nothing for this side.
        var isQuiet = false
        /// Whether it still is a connection; otherwise it is none from now on.
        func keepIfUsable(reads: Bool = true) -> Bool {
            guard let (session, since) = current else { return false }
            if session.attend(reads: reads) { return true }
            let problem = session.problem
            // Closed before anybody is told.
            current = nil
            owner.lost(self, afterLasting: time() - since, problem)
            return false
        }
        while true {
            let order = owner.order(for: self, isConnected: current != nil)
            // Who is told mostly has a next call at once, and finds this connection free for it.
            tell?()
            tell = nil
            switch order {
            case .connect:
                current = connect(for: owner).map { ($0, time()) }
            case .run(let call):
                // A server that has closed the connection while nobody looked has said so by now.
                guard keepIfUsable(reads: !isQuiet), let session = current?.session else {
                    owner.putBack(call)
                    continue
                }
                isQuiet = false
                session.begin(call.control, limit: call.limit)
                tell = call.run(session)
                session.end()
                // What has come since is seen before the next call, or when it waits.
                _ = keepIfUsable(reads: false)
            case .wait(let deadline):
                let limit = deadline.map { max(.zero, $0 - time()) }
                let socket = current?.session.socket ?? -1
                isQuiet = !pipe.wait(socket: socket, for: Int32(POLLIN), limit: limit)
                if !isQuiet { _ = keepIfUsable() }
            case .end:
                current = nil
                return owner.ended(self)
            }
        }
    }

    private func connect(for owner: any ConnectionOwner) -> PostgresSession? {
        do {
            let session = try PostgresSession(address, configuration, extra: extra, pipe: pipe, now: time)
            session.begin(CallControl(), limit: configuration.callLimit)
            defer { session.end() }
            try owner.connected(self, session)
            return session
        } catch {
            owner.connectingFailed(self, error)
            return nil
        }
    }
}
