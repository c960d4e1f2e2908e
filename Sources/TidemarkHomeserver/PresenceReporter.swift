public import Metrics
import ServiceLifecycle
import Synchronization
public import Tidemark
public import TidemarkCore
public import TidemarkWire

/// Reports the syncs of this process to the instance that handles presence, over replication: see ``SyncReport``.
///
/// Run it as a service; it says so when it ends in order. It has a connection of its own to the transport.
public final class PresenceReporter: Service, SyncTracking {
    private let transport: any ReplicationTransport
    private let name: InstanceName
    private let time: TimeSource
    private let wallClock: @Sendable () -> Int64
    private let timer: DeadlineTimer
    private let sentCommands: Counter
    private let state: Mutex<State>

    private struct State {
        var report: SyncReport
        var connection: (any ReplicationConnection)?
        var isConnected = false
        var first = FirstCommand()
    }

    /// - Parameters:
    ///   - name: this instance's.
    ///   - instanceID: names this run of it; made up when none is given.
    ///   - wallClock: milliseconds since 1970.
    ///   - metrics: where to measure; where the program measures everything, when it is not given.
    public init(
        transport: any ReplicationTransport, name: InstanceName, instanceID: FieldText = .newInstanceID(),
        timing: SyncReport.Timing = SyncReport.Timing(), time: TimeSource = .continuous,
        wallClock: @escaping @Sendable () -> Int64 = WallClock.milliseconds, metrics: (any MetricsFactory)? = nil
    ) {
        self.transport = transport
        self.name = name
        self.time = time
        self.wallClock = wallClock
        timer = DeadlineTimer(time: time)
        sentCommands = Counter(
            label: "tidemark_presence_commands_sent", dimensions: [("instance", name.rawValue)],
            factory: metrics ?? MetricsSystem.factory)
        state = Mutex(State(report: SyncReport(instanceID: instanceID, timing: timing)))
    }

    public func syncBegan(_ device: SyncingDevice) {
        let now = wallClock()
        change { $0.begin(device, at: now) }
    }

    public func syncEnded(_ device: SyncingDevice) {
        let wall = wallClock()
        change { [now = time.now] report in
            report.end(device, at: wall, now: now)
            return []
        }
    }

    /// Reports until graceful shutdown, or until the task is cancelled; then `CLEAR_USER_SYNC` is sent.
    ///
    /// - Throws: what the transport throws when it cannot be used at all.
    public func run() async throws {
        let connection = try await transport.connect(as: name) { [weak self] event in self?.received(event) }
        let isConnected = state.withLock { state in
            state.connection = connection
            state.first.attach(connection)
            return state.isConnected
        }
        // It may have been there before this one knew of it.
        if isConnected { change { [now = time.now] in $0.connected(at: now) } }
        // Throws when the task is cancelled, which is an end as good as the other.
        try? await gracefulShutdown()
        change { $0.stop() }
        timer.set(nil) {}
        state.withLock { state in
            state.connection = nil
            state.first.detach()
        }
        await connection.close()
    }

    private func received(_ event: ReplicationEvent) {
        let now = time.now
        switch event {
        case .connected:
            state.withLock { state in
                state.isConnected = true
                state.first.connected()
            }
            change { $0.connected(at: now) }
        case .disconnected:
            state.withLock { $0.isConnected = false }
            change { report in
                report.disconnected()
                return []
            }
        case .command(let command):
            // Nothing else has to be caught up with.
            state.withLock { $0.first.heard() }?.caughtUp()
            if case .replicate = command {
                change { report in
                    report.asked(at: now)
                    return report.look(at: now)
                }
            }
        }
    }

    private func look() {
        change { [now = time.now] in $0.look(at: now) }
    }

    /// Changes the report and sends what it has to say, in the order in which it says it.
    private func change(_ body: (inout SyncReport) -> [ReplicationCommand]) {
        let sent = state.withLock { state in
            let commands = body(&state.report)
            // Under the lock, since the order matters; a transport returns at once.
            if !commands.isEmpty { state.connection?.send(commands) }
            // As well: a deadline that another thread has found to be sooner is not replaced by an older one.
            timer.set(state.report.nextLook) { [weak self] in self?.look() }
            return commands.count
        }
        if sent > 0 { sentCommands.increment(by: sent) }
    }
}
