import DequeModule
import Tidemark
import TidemarkCore
public import TidemarkWire

/// What an instance that does not handle presence says of its syncs.
///
/// `USER_SYNC … start` when a device's first sync begins, `USER_SYNC … end` when it has had none for a grace time. All of
/// it is told again on a new connection, when somebody asks everyone (`REPLICATE`: the instance that handles presence may
/// be new), and regularly, so that a lost message heals and the instance does not count as silent. Ends are part of that
/// for a while. A telling goes out in pieces, so that it never overflows a transport's buffer.
///
/// Instances are known by an ID of their own making, one for each run, and not by their connection or name: what an
/// earlier run reported is not taken for this one's.
public struct SyncReport: Sendable {
    /// When what is told.
    public struct Timing: Hashable, Sendable {
        /// How long a device may be without a sync before it counts as gone.
        public var grace: Duration = .seconds(10)
        /// How often everything is told again; well below the time after which an instance counts as silent.
        public var repetition: Duration = .seconds(120)
        /// Everything is told at most so often because somebody asks.
        public var answering: Duration = .seconds(5)
        /// Between two pieces of a telling.
        public var pause: Duration = .milliseconds(20)
        /// Commands in a piece.
        public var piece = 500

        /// The defaults.
        public init() {}
    }

    /// How many ends are told again; of more, the oldest are forgotten, and go with the next silence.
    private static let endedLimit = 10_000

    /// Names this run of the instance to others. Each run has to make up another.
    public let instanceID: FieldText
    private let timing: Timing
    private var tally: SyncTally
    /// Devices that ended lately: told again for a while, because the first message may be lost.
    private var ended: [SyncingDevice: (lastSync: Int64, at: Duration)] = [:]
    private var endedOrder: Deque<(device: SyncingDevice, at: Duration)> = []
    /// What is still to be told of the present telling.
    private var untold: Deque<SyncingDevice> = []
    private var nextPiece: Duration?
    private var nextTelling: Duration?
    private var lastTelling: Duration?
    private var isConnected = false
    private var isStopped = false

    /// Nothing is reported before ``connected(at:)``.
    public init(instanceID: FieldText, timing: Timing = Timing()) {
        self.instanceID = instanceID
        self.timing = timing
        tally = SyncTally(grace: timing.grace)
    }

    /// When ``look(at:)`` is to be called; it does no harm at other times.
    public var nextLook: Duration? {
        if isStopped { return nil }
        return [tally.nextEnd, isConnected ? nextPiece : nil, isConnected ? nextTelling : nil].compactMap { $0 }.min()
    }

    /// A sync begins. Times of `at` are milliseconds since 1970.
    public mutating func begin(_ device: SyncingDevice, at time: Int64) -> [ReplicationCommand] {
        let isFirst = tally.begin(device, lastSync: time)
        ended[device] = nil
        guard isFirst, isConnected, !isStopped else { return [] }
        return [command(device, .start, time)]
    }

    /// A sync is over.
    public mutating func end(_ device: SyncingDevice, at time: Int64, now: Duration) {
        tally.end(device, lastSync: time, at: now)
    }

    /// A connection is new: everything is told.
    public mutating func connected(at now: Duration) -> [ReplicationCommand] {
        isConnected = true
        beginTelling(at: now)
        return look(at: now)
    }

    /// Nothing is told until there is another connection; syncs are counted on.
    public mutating func disconnected() {
        isConnected = false
        untold = []
        nextPiece = nil
        nextTelling = nil
    }

    /// Somebody asks everyone.
    public mutating func asked(at now: Duration) {
        guard isConnected else { return }
        let earliest = max(now, lastTelling.map { $0 + timing.answering } ?? now)
        nextTelling = min(nextTelling ?? earliest, earliest)
    }

    /// What is due by now.
    public mutating func look(at now: Duration) -> [ReplicationCommand] {
        if isStopped { return [] }
        var commands: [ReplicationCommand] = []
        for (device, lastSync) in tally.takeEnded(at: now) {
            remember(device, lastSync: lastSync, at: now)
            if isConnected { commands.append(command(device, .end, lastSync)) }
        }
        guard isConnected else { return commands }
        if let nextTelling, nextTelling <= now { beginTelling(at: now) }
        if let nextPiece, nextPiece <= now { commands += takePiece(at: now) }
        return commands
    }

    /// The orderly end: whatever this instance reported is over.
    public mutating func stop() -> [ReplicationCommand] {
        if isStopped { return [] }
        isStopped = true
        return isConnected ? [.clearUserSync(ClearUserSync(instanceID: instanceID))] : []
    }

    // MARK: Telling everything

    private mutating func beginTelling(at now: Duration) {
        forget(before: now - timing.repetition * 2)
        untold = Deque(ended.keys)
        untold.append(contentsOf: tally.entries.keys)
        lastTelling = now
        nextTelling = now + timing.repetition
        nextPiece = untold.isEmpty ? nil : now
    }

    private mutating func takePiece(at now: Duration) -> [ReplicationCommand] {
        let devices = untold.prefix(timing.piece)
        untold.removeFirst(devices.count)
        nextPiece = untold.isEmpty ? nil : now + timing.pause
        return devices.compactMap { device in
            if let entry = tally.entries[device] { return command(device, .start, entry.lastSync) }
            return ended[device].map { command(device, .end, $0.lastSync) }
        }
    }

    private mutating func remember(_ device: SyncingDevice, lastSync: Int64, at now: Duration) {
        ended[device] = (lastSync, now)
        endedOrder.append((device, now))
        while endedOrder.count > Self.endedLimit { forgetOldest() }
    }

    private mutating func forget(before time: Duration) {
        while let oldest = endedOrder.first, oldest.at < time { forgetOldest() }
    }

    private mutating func forgetOldest() {
        let oldest = endedOrder.removeFirst()
        if ended[oldest.device]?.at == oldest.at { ended[oldest.device] = nil }
    }

    private func command(_ device: SyncingDevice, _ state: UserSync.State, _ time: Int64) -> ReplicationCommand {
        .userSync(UserSync(instanceID: instanceID, device, state: state, lastSyncMilliseconds: time))
    }
}

extension UserSync {
    init(instanceID: FieldText, _ syncing: SyncingDevice, state: State, lastSyncMilliseconds: Int64) {
        self.init(
            instanceID: instanceID, user: syncing.user, checkedDevice: syncing.device, state: state,
            lastSyncMilliseconds: lastSyncMilliseconds)
    }
}

/// Counts the syncs that go on at the same time in this process, and lets a while pass before a device that has none
/// counts as gone: a client that polls begins its next sync just after the last one ended.
struct SyncTally: Sendable {
    struct Entry: Hashable {
        fileprivate(set) var count = 0
        /// When it was last seen to sync, in milliseconds since 1970.
        fileprivate(set) var lastSync: Int64
        /// When it ends, unless another sync begins; nil while one goes on.
        fileprivate(set) var endsAt: Duration?
    }

    private let grace: Duration
    private(set) var entries: [SyncingDevice: Entry] = [:]
    /// In order, because all wait equally long. One that is out of date is known by its entry.
    private var endings: Deque<(at: Duration, device: SyncingDevice)> = []

    init(grace: Duration) { self.grace = grace }

    /// Whether this is the first sync of the device.
    mutating func begin(_ device: SyncingDevice, lastSync: Int64) -> Bool {
        let isFirst = entries[device] == nil
        var entry = entries[device] ?? Entry(lastSync: lastSync)
        entry.count += 1
        entry.lastSync = lastSync
        entry.endsAt = nil
        entries[device] = entry
        return isFirst
    }

    /// One of the device's syncs is over.
    mutating func end(_ device: SyncingDevice, lastSync: Int64, at now: Duration) {
        guard var entry = entries[device], entry.count > 0 else {
            preconditionFailure("\(device): a sync ended that had not begun")
        }
        entry.count -= 1
        entry.lastSync = lastSync
        if entry.count == 0 {
            entry.endsAt = now + grace
            endings.append((now + grace, device))
        }
        entries[device] = entry
    }

    /// The devices that have ended by now, with when they were last seen.
    mutating func takeEnded(at now: Duration) -> [(device: SyncingDevice, lastSync: Int64)] {
        var ended: [(device: SyncingDevice, lastSync: Int64)] = []
        while let first = endings.first, first.at <= now {
            endings.removeFirst()
            guard let entry = entries[first.device], entry.endsAt == first.at else { continue }
            entries[first.device] = nil
            ended.append((first.device, entry.lastSync))
        }
        return ended
    }

    /// When ``takeEnded(at:)`` is to be called next; it may turn out to be too early.
    var nextEnd: Duration? { endings.first?.at }
}

/// Is told of the syncs of this process, whichever instance handles presence: a ``PresenceRegistry`` on that instance, a
/// ``PresenceReporter`` on all others.
public protocol SyncTracking: Sendable {
    /// A sync begins; each has to end with ``syncEnded(_:)``.
    func syncBegan(_ device: SyncingDevice)
    /// A sync that had begun is over.
    func syncEnded(_ device: SyncingDevice)
}

extension SyncTracking {
    /// Counts as one sync while `body` runs.
    public nonisolated(nonsending) func withSync<R>(
        of device: SyncingDevice, _ body: nonisolated(nonsending) () async throws -> R
    ) async rethrows -> R {
        syncBegan(device)
        defer { syncEnded(device) }
        return try await body()
    }
}

extension FieldText {
    /// An ID for one run of an instance, which nobody else has: 128 random bits.
    public static func newInstanceID() -> FieldText {
        let text = (0..<2).map { _ in String(UInt64.random(in: 0 ... .max), radix: 36) }.joined(separator: "-")
        do {
            return try FieldText(validating: text)
        } catch {
            preconditionFailure("digits and letters are a field: \(error)")
        }
    }
}
