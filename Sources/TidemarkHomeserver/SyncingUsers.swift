import HeapModule
import TidemarkCore
public import TidemarkWire

/// Who is syncing, from which instance and with which device: the registry of the instance that handles presence.
///
/// What an instance has reported goes with its `CLEAR_USER_SYNC`, or when it has been silent for a while: then it is
/// gone, or nobody hears it. The instance that handles presence reports its own syncs to its registry directly, and they
/// never count as silent.
///
/// The number of syncs and what they take is bounded, since they come from outside: what is above it is counted and
/// ignored.
public struct SyncingUsers: Sendable {
    /// What a user's devices together do.
    public enum Change: Hashable, Sendable {
        /// The user's first sync, of all instances and devices, began.
        case started(FieldText)
        /// The last one ended; the time is in milliseconds since 1970.
        case ended(FieldText, lastSyncMilliseconds: Int64)
    }

    /// Where a sync goes on.
    public enum Origin: Hashable, Sendable {
        /// This instance.
        case here
        /// The run of another instance, by the ID that it made up.
        case instance(FieldText)
    }

    /// One device of a user that syncs, or did so until lately.
    public struct Sync: Hashable, Sendable {
        /// Where it syncs.
        public let origin: Origin
        /// Which device; nil where the user syncs without one.
        public let device: FieldText?
        /// When the user was last seen to sync, in milliseconds since 1970.
        public let lastSyncMilliseconds: Int64
    }

    /// Bounds.
    public struct Limits: Hashable, Sendable {
        /// An instance that has reported nothing for so long is taken to be gone.
        public var silence: Duration = .seconds(300)
        /// How long a device of this instance may be without a sync before it counts as gone.
        public var grace: Duration = .seconds(10)
        /// How many syncs of other instances are kept.
        public var syncs = 1_000_000
        /// Roughly how many bytes they may take: names come from outside, and may be long.
        public var bytes = 512 << 20

        /// The defaults.
        public init() {}
    }

    private struct Reported {
        var lastHeard: Duration
        /// The number of its entry among those by silence.
        let number: Int
        var syncs: [SyncingDevice: Int64] = [:]
    }

    /// An instance that has said nothing for at least so long; it may have spoken since.
    private struct Silence: Comparable {
        let since: Duration
        let instance: FieldText
        let number: Int

        static func < (left: Silence, right: Silence) -> Bool { left.since < right.since }
        static func == (left: Silence, right: Silence) -> Bool { left.since == right.since }
    }

    private struct User {
        /// How many syncs go on, on all instances together.
        var syncs = 0
        var lastSync: Int64
    }

    private let limits: Limits
    private var local: SyncTally
    /// Only instances with a sync are here.
    private var reported: [FieldText: Reported] = [:]
    /// One entry for each of them, and some that are gone. The first is always right.
    private var silences = Heap<Silence>()
    private var lastNumber = 0
    private var syncs = 0
    private var bytes = 0
    private var userStates: [FieldText: User] = [:]
    /// Reports that were not taken because there were too many.
    public private(set) var ignored = 0
    /// Instances that were taken to be gone because they were silent.
    public private(set) var silenced = 0

    /// Nobody syncs.
    public init(limits: Limits = Limits()) {
        self.limits = limits
        local = SyncTally(grace: limits.grace)
    }

    // MARK: Asking

    /// Whether the user syncs anywhere.
    public func isSyncing(_ user: FieldText) -> Bool { userStates[user] != nil }

    /// Everyone who syncs, in no order.
    public var users: some Collection<FieldText> { userStates.keys }

    /// All syncs of a user, in no order.
    public func syncs(of user: FieldText) -> [Sync] {
        guard isSyncing(user) else { return [] }
        let here = local.entries.filter { $0.key.user == user }.map {
            Sync(origin: .here, device: $0.key.device, lastSyncMilliseconds: $0.value.lastSync)
        }
        return here
            + reported.flatMap { instance, reported in
                reported.syncs.filter { $0.key.user == user }.map {
                    Sync(origin: .instance(instance), device: $0.key.device, lastSyncMilliseconds: $0.value)
                }
            }
    }

    /// When ``look(at:)`` is to be called; it does no harm at other times.
    public var nextLook: Duration? {
        let silence = silences.min.map { $0.since + limits.silence }
        return [silence, local.nextEnd].compactMap { $0 }.min()
    }

    // MARK: This instance

    /// A sync begins on this instance. Times of `at` are milliseconds since 1970.
    public mutating func begin(_ device: SyncingDevice, at time: Int64) -> [Change] {
        local.begin(device, lastSync: time) ? began(device.user, time) : []
    }

    /// A sync is over on this instance; it counts until the grace time has passed.
    public mutating func end(_ device: SyncingDevice, at time: Int64, now: Duration) {
        local.end(device, lastSync: time, at: now)
    }

    // MARK: Other instances

    /// Takes what another instance has said, and returns for whom that changes something. What is beyond the limits is
    /// counted in ``ignored``.
    public mutating func heard(_ sync: UserSync, at now: Duration) -> [Change] {
        let device = SyncingDevice(sync)
        reported[sync.instanceID]?.lastHeard = now
        defer { settleSilences() }
        switch sync.state {
        case .start:
            if reported[sync.instanceID]?.syncs[device] != nil {
                reported[sync.instanceID]?.syncs[device] = sync.lastSyncMilliseconds
                return []
            }
            guard makeRoom(for: device, of: sync.instanceID, at: now) else {
                ignored += 1
                return []
            }
            reported[sync.instanceID]?.syncs[device] = sync.lastSyncMilliseconds
            return began(device.user, sync.lastSyncMilliseconds)
        case .end:
            guard reported[sync.instanceID]?.syncs.removeValue(forKey: device) != nil else { return [] }
            syncs -= 1
            bytes -= Self.size(of: device)
            if reported[sync.instanceID]?.syncs.isEmpty == true { _ = drop(sync.instanceID) }
            return ended(device.user, sync.lastSyncMilliseconds)
        }
    }

    private mutating func makeRoom(for device: SyncingDevice, of instance: FieldText, at now: Duration) -> Bool {
        let isNew = reported[instance] == nil
        let size = Self.size(of: device) + (isNew ? Self.size(of: instance) : 0)
        guard syncs < limits.syncs, bytes + size <= limits.bytes else { return false }
        syncs += 1
        bytes += size
        if isNew {
            lastNumber += 1
            reported[instance] = Reported(lastHeard: now, number: lastNumber)
            silences.insert(Silence(since: now, instance: instance, number: lastNumber))
        }
        return true
    }

    /// Roughly, with what a dictionary and a user's state take.
    private static func size(of device: SyncingDevice) -> Int {
        256 + 2 * device.user.text.utf8.count + (device.device?.text.utf8.count ?? 0)
    }

    private static func size(of instance: FieldText) -> Int { 256 + 2 * instance.text.utf8.count }

    /// Each command makes at most one entry old, and each old one is moved once, when it is the first.
    private mutating func settleSilences() {
        while let first = silences.min {
            guard let said = reported[first.instance], said.number == first.number else {
                silences.removeMin()
                continue
            }
            if said.lastHeard == first.since { break }
            silences.replaceMin(
                with: Silence(since: said.lastHeard, instance: first.instance, number: first.number))
        }
        if silences.count > 2 * reported.count + 64 {
            silences = Heap(
                reported.map { Silence(since: $0.value.lastHeard, instance: $0.key, number: $0.value.number) })
        }
    }

    /// An instance says that nobody syncs there any more. Returns for whom that was the last sync.
    public mutating func heard(_ clear: ClearUserSync) -> [Change] {
        defer { settleSilences() }
        return drop(clear.instanceID)
    }

    /// Drops what is over by now.
    public mutating func look(at now: Duration) -> [Change] {
        var changes = local.takeEnded(at: now).flatMap { ended($0.device.user, $0.lastSync) }
        while let first = silences.min, first.since + limits.silence <= now {
            silenced += 1
            changes += drop(first.instance)
            settleSilences()
        }
        return changes
    }

    private mutating func drop(_ instance: FieldText) -> [Change] {
        guard let dropped = reported.removeValue(forKey: instance) else { return [] }
        syncs -= dropped.syncs.count
        bytes -= Self.size(of: instance) + dropped.syncs.keys.reduce(0) { $0 + Self.size(of: $1) }
        return dropped.syncs.flatMap { ended($0.key.user, $0.value) }
    }

    // MARK: Users

    private mutating func began(_ user: FieldText, _ time: Int64) -> [Change] {
        var state = userStates[user] ?? User(lastSync: time)
        state.syncs += 1
        state.lastSync = max(state.lastSync, time)
        userStates[user] = state
        return state.syncs == 1 ? [.started(user)] : []
    }

    private mutating func ended(_ user: FieldText, _ time: Int64) -> [Change] {
        guard var state = userStates[user] else { preconditionFailure("\(user) ended to sync without a start") }
        state.syncs -= 1
        state.lastSync = max(state.lastSync, time)
        userStates[user] = state.syncs == 0 ? nil : state
        return state.syncs == 0 ? [.ended(user, lastSyncMilliseconds: state.lastSync)] : []
    }
}

/// Who syncs with what: a user, on one of their devices.
public struct SyncingDevice: Hashable, Sendable, CustomStringConvertible {
    /// Who.
    public let user: FieldText
    /// Nil where the user syncs without a device.
    public let device: FieldText?

    /// - Throws: `InvalidCommandText.reserved(_:)` for a device called `None`: on the wire that is no device.
    public init(user: FieldText, device: FieldText?) throws(InvalidCommandText) {
        if device?.text == UserSync.noDevice { throw .reserved(UserSync.noDevice) }
        self.user = user
        self.device = device
    }

    init(_ sync: UserSync) {
        user = sync.user
        device = sync.device
    }

    public var description: String { device.map { "\(user) on \($0)" } ?? "\(user)" }
}
