import Synchronization
import Tidemark

/// A transport whose failure to reach anybody is told on standard error, once for each time that it lasts: without it
/// events come through the database, and nothing but their lag would show it.
final class ToldTransport: ReplicationTransport {
    private struct State {
        var notice = LinkNotice(now: .now)
        /// Why the last attempt to take part failed.
        var failure: String?
        var looking: Task<Void, any Error>?
    }

    /// The mutex itself cannot be lent to closures.
    private final class SharedState: Sendable {
        private let state = Mutex(State())

        func withLock<Value>(_ body: (inout State) -> Value) -> Value { state.withLock { body(&$0) } }
    }

    private let state = SharedState()
    private let transport: any ReplicationTransport
    private let place: String
    private let problem: @Sendable () -> String?

    /// - Parameters:
    ///   - place: for people, without a password.
    ///   - problem: what keeps the transport from being heard, as far as it knows.
    init(
        _ transport: any ReplicationTransport, place: String, problem: @escaping @Sendable () -> String?
    ) {
        self.transport = transport
        self.place = place
        self.problem = problem
    }

    var listensFirst: Duration { transport.listensFirst }
    var belongsToDatabase: Bool { transport.belongsToDatabase }

    private func tell(_ line: String) { StandardStreams.writeError("tidemark: " + line.onOneLine) }

    func connect(
        as name: InstanceName, receive: @escaping @Sendable (ReplicationEvent) -> Void
    ) async throws -> any ReplicationConnection {
        let state = state
        state.withLock { state in
            // Also where there is no connection at all: whoever asked for one may go on, and try again.
            if state.looking == nil { state.looking = Task { try await look() } }
        }
        do {
            let connection = try await transport.connect(as: name) { event in
                switch event {
                case .connected: state.withLock { $0.notice.isUp = true }
                case .disconnected: state.withLock { $0.notice.isUp = false }
                case .command: break
                }
                receive(event)
            }
            state.withLock { $0.failure = nil }
            return ToldConnection(connection: connection) {
                state.withLock { state in
                    state.looking?.cancel()
                    state.looking = nil
                }
            }
        } catch {
            state.withLock { $0.failure = "\(error)" }
            throw error
        }
    }

    private func look() async throws {
        while true {
            try await Task.sleep(for: .milliseconds(250))
            let problem = problem()
            let news = state.withLock { $0.notice.look(problem: $0.failure ?? problem, now: .now) }
            switch news {
            case nil: break
            case .isDown(let reason):
                tell(
                    "nobody is heard over \(place): \(reason ?? "there is no connection yet"); going on through the "
                        + "database, which takes up to a second")
            case .isUp:
                tell("others are heard over \(place) now")
            }
        }
    }
}

private struct ToldConnection: ReplicationConnection {
    let connection: any ReplicationConnection
    let closed: @Sendable () -> Void

    func send(_ commands: [ReplicationCommand]) { connection.send(commands) }
    func caughtUp() { connection.caughtUp() }

    func close() async {
        closed()
        await connection.close()
    }
}

/// Decides when a link that does not work is worth a word: a server that ends is followed by another within milliseconds.
struct LinkNotice {
    enum News: Equatable {
        case isDown(reason: String?)
        case isUp
    }

    /// How long it may not work in silence.
    static let patience = Duration.seconds(2)

    var isUp = false
    private var fineUntil: ContinuousClock.Instant
    private var isTold = false

    init(now: ContinuousClock.Instant) { fineUntil = now }

    /// What has to be told now. A link may be up and still not be allowed everything that it needs: then there is a problem.
    mutating func look(problem: String?, now: ContinuousClock.Instant) -> News? {
        if isUp, problem == nil {
            fineUntil = now
            guard isTold else { return nil }
            isTold = false
            return .isUp
        }
        guard !isTold, fineUntil.duration(to: now) >= Self.patience else { return nil }
        isTold = true
        return .isDown(reason: problem)
    }
}
