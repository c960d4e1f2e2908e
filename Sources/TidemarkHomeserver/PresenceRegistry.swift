import Logging
public import Metrics
import ServiceLifecycle
import Synchronization
public import Tidemark
public import TidemarkCore
public import TidemarkWire

/// Knows who is syncing, on the instance that handles presence: see ``SyncingUsers``.
///
/// It hears what other instances report, and is told of the syncs of its own process directly. Run it as a service. It
/// has a connection of its own to the transport, and sends nothing.
public final class PresenceRegistry: Service, SyncTracking {
    private let transport: any ReplicationTransport
    private let name: InstanceName
    private let time: TimeSource
    private let wallClock: @Sendable () -> Int64
    private let logger: Logger
    let timer: DeadlineTimer
    private let usersGauge: Gauge
    private let silencedCounter: Counter
    private let ignoredCounter: Counter
    private let onChange: @Sendable (SyncingUsers.Change) -> Void
    let state: Mutex<State>

    struct State {
        fileprivate var users: SyncingUsers
        fileprivate var first = FirstCommand()
        /// Not told yet, because somebody is just telling.
        fileprivate var untold: [SyncingUsers.Change] = []
        fileprivate var isTelling = false
        fileprivate var toldIgnored = 0
        fileprivate var toldSilenced = 0
    }

    /// - Parameters:
    ///   - name: this instance's.
    ///   - wallClock: milliseconds since 1970.
    ///   - metrics: where to measure; where the program measures everything, when it is not given.
    ///   - onChange: is told of each user who begins or ceases to sync, one call at a time and in order, from any thread.
    ///     It must not block.
    public init(
        transport: any ReplicationTransport, name: InstanceName, limits: SyncingUsers.Limits = SyncingUsers.Limits(),
        time: TimeSource = .continuous, wallClock: @escaping @Sendable () -> Int64 = WallClock.milliseconds,
        logger: Logger = Logger(label: "tidemark.presence"), metrics: (any MetricsFactory)? = nil,
        onChange: @escaping @Sendable (SyncingUsers.Change) -> Void = { _ in }
    ) {
        self.transport = transport
        self.name = name
        self.time = time
        self.wallClock = wallClock
        self.logger = logger
        self.onChange = onChange
        timer = DeadlineTimer(time: time)
        let labels = [("instance", name.rawValue)]
        let factory = metrics ?? MetricsSystem.factory
        usersGauge = Gauge(label: "tidemark_syncing_users", dimensions: labels, factory: factory)
        silencedCounter = Counter(label: "tidemark_presence_instances_silenced", dimensions: labels, factory: factory)
        ignoredCounter = Counter(label: "tidemark_presence_reports_ignored", dimensions: labels, factory: factory)
        state = Mutex(State(users: SyncingUsers(limits: limits)))
    }

    /// Whether the user syncs anywhere, as far as was heard; it takes the same time however many there are.
    public func isSyncing(_ user: FieldText) -> Bool { state.withLock { $0.users.isSyncing(user) } }

    /// Everyone who is syncing, in no order.
    public var users: [FieldText] { state.withLock { Array($0.users.users) } }

    /// From where a user is syncing, and with which devices. It looks at all syncs.
    public func syncs(of user: FieldText) -> [SyncingUsers.Sync] { state.withLock { $0.users.syncs(of: user) } }

    public func syncBegan(_ device: SyncingDevice) {
        let now = wallClock()
        change { $0.begin(device, at: now) }
    }

    public func syncEnded(_ device: SyncingDevice) {
        let wall = wallClock()
        change { [now = time.now] users in
            users.end(device, at: wall, now: now)
            return []
        }
    }

    /// Listens until graceful shutdown, or until the task is cancelled.
    ///
    /// - Throws: what the transport throws when it cannot be used at all.
    public func run() async throws {
        let connection = try await transport.connect(as: name) { [weak self] event in self?.received(event) }
        state.withLock { $0.first.attach(connection) }
        // Throws when the task is cancelled, which is an end as good as the other.
        try? await gracefulShutdown()
        timer.set(nil) {}
        state.withLock { $0.first.detach() }
        await connection.close()
    }

    private func received(_ event: ReplicationEvent) {
        let now = time.now
        switch event {
        case .connected: state.withLock { $0.first.connected() }
        case .disconnected: break
        case .command(let command):
            // Nothing else has to be caught up with: the others tell everything again by themselves.
            state.withLock { $0.first.heard() }?.caughtUp()
            switch command {
            case .userSync(let sync): change { $0.heard(sync, at: now) }
            case .clearUserSync(let clear): change { $0.heard(clear) }
            default: break
            }
        }
    }

    private func change(_ body: (inout SyncingUsers) -> [SyncingUsers.Change]) {
        state.withLock { state in
            state.untold += body(&state.users)
            // Under the lock: otherwise a deadline that another thread has found to be sooner might be replaced.
            timer.set(state.users.nextLook) { [weak self] in
                guard let self else { return }
                self.change { [now = self.time.now] in $0.look(at: now) }
            }
        }
        report()
        tell()
    }

    /// The first caller tells everything, so that the order is kept without a lock around other people's code.
    private func tell() {
        while let changes = takeUntold() {
            for change in changes { onChange(change) }
            state.withLock { $0.isTelling = false }
        }
    }

    private func takeUntold() -> [SyncingUsers.Change]? {
        state.withLock { state in
            if state.isTelling || state.untold.isEmpty { return nil }
            state.isTelling = true
            defer { state.untold = [] }
            return state.untold
        }
    }

    private func report() {
        let (count, silenced, ignored) = state.withLock { state in
            defer { (state.toldSilenced, state.toldIgnored) = (state.users.silenced, state.users.ignored) }
            return (
                state.users.users.count, state.users.silenced - state.toldSilenced,
                state.users.ignored - state.toldIgnored
            )
        }
        usersGauge.record(count)
        if silenced > 0 {
            silencedCounter.increment(by: silenced)
            logger.notice(
                "instances are silent: their users no longer count as syncing", metadata: ["count": "\(silenced)"])
        }
        if ignored > 0 {
            ignoredCounter.increment(by: ignored)
            logger.warning("more syncs are reported than are kept", metadata: ["count": "\(ignored)"])
        }
    }
}

/// Calls a state machine when it asked to be called: one deadline at a time, the latest that was set.
final class DeadlineTimer: Sendable {
    private let time: TimeSource
    private let state = Mutex<(deadline: Duration, task: Task<Void, Never>)?>(nil)
    /// Called before a deadline is set: a test goes in between here.
    let beforeSetting = Mutex<(@Sendable () -> Void)?>(nil)

    init(time: TimeSource) { self.time = time }

    /// Nil: not at all.
    func set(_ deadline: Duration?, _ body: @escaping @Sendable () -> Void) {
        beforeSetting.withLock { $0 }?()
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
