import Synchronization
import Tidemark
import TidemarkReplication

/// A reader in this process that measures how old stamped events are when they arrive.
final class LagReader: Sendable {
    private struct State {
        var lags = Figures()
        var count = 0
        /// What came since the lags were forgotten.
        var arrivals: [(id: StreamID, time: Int64)] = []
        var link: [(what: String, time: Int64)] = []
    }

    private let log: EventLog
    private let tasks: [Task<Void, any Error>]
    /// Nil on a server, where there is no socket.
    private let link: (any ReplicationConnection)?
    private let state: SharedState

    private final class SharedState: Sendable {
        let value = Mutex(State())
    }

    init(_ participant: Participant) async throws {
        let transport =
            participant.server == nil ? try UnixSocketTransport(besideDatabase: participant.database) : nil
        let state = SharedState()
        self.state = state
        link = try await transport?.connect(as: "link") { event in
            switch event {
            case .connected: state.value.withLock { $0.link.append(("up", MonotonicTime.now)) }
            case .disconnected: state.value.withLock { $0.link.append(("down", MonotonicTime.now)) }
            case .command: break
            }
        }
        let log = try await participant.open(transport: transport)
        self.log = log
        tasks = [
            Task { try await log.run() },
            Task {
                for try await batch in log.events() {
                    let now = MonotonicTime.now
                    state.value.withLock { state in
                        for event in batch.events {
                            guard let time = Int64(String(decoding: event.event.payload, as: UTF8.self)) else {
                                continue
                            }
                            state.count += 1
                            state.lags.add(.nanoseconds(now - time))
                            state.arrivals.append((event.streamID, now))
                        }
                    }
                }
            },
        ]
    }

    var count: Int { state.value.withLock { $0.count } }
    var isUp: Bool { !times(of: "up").isEmpty }

    func times(of what: String) -> [Int64] {
        state.value.withLock { $0.link.filter { $0.what == what }.map(\.time) }
    }

    /// The lags since the last call.
    @discardableResult
    func forget() -> Figures {
        state.value.withLock { state in
            defer { (state.lags, state.arrivals) = (Figures(), []) }
            return state.lags
        }
    }

    /// When the first event above this ID came, since the last call of ``forget()``.
    func arrival(above id: Int64) -> Int64? {
        state.value.withLock { $0.arrivals.first { $0.id.rawValue > id }?.time }
    }

    func end() async throws {
        await link?.close()
        tasks[1].cancel()
        tasks[0].cancel()
        try await tasks[0].value
    }
}
