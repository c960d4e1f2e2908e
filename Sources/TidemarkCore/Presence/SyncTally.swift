import DequeModule

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
