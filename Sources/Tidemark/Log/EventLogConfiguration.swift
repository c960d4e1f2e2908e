/// How a log behaves. The defaults are right for most programs.
public struct EventLogConfiguration: Sendable {
    /// How often positions are announced; see there.
    public typealias Announcements = TidemarkCore.Announcements

    /// Whether the stream has an index of keys, for ``EventLog/events(ofKey:after:)`` and
    /// ``EventLog/persist(_:ifNewest:ofKey:)``. A writer makes the stream with it; one that has events without it is refused with
    /// ``TidemarkError/noKeyIndex(stream:store:isBuilding:)`` until an index was begun (`tidemark index`). A stream that has one
    /// keeps it, whatever is said here.
    public var hasKeyIndex: Bool
    /// How large an event may be.
    public var limits = EventLimits()
    /// How often this log announces its position. As often as readers need it, unless one says otherwise.
    public var announcements = Announcements.asNeeded()
    /// How often a writer writes its position and heartbeat into the database; nil: never, which is for measurements.
    public var heartbeatInterval: Duration? = .seconds(1)
    /// How often at least the database is asked for what was not heard; nil: never, which is for measurements.
    public var reconcileInterval: Duration? = .seconds(1)
    /// The database is asked sooner when the minimum has stood still for so long while something above it is known.
    public var stallInterval: Duration = .milliseconds(250)
    /// Whether this log closes and retires other writers that are silent, or whose process is gone, where its store can
    /// write. It takes what the database says, so that it needs ``reconcileInterval``.
    public var closesSilentWriters = true
    /// A writer whose heartbeat has not changed for so long is closed while it holds the minimum back; at least four
    /// times what lies between two heartbeats of the slowest writer.
    public var silenceTimeout: Duration = .seconds(5)
    /// A writer whose heartbeat has not changed for so long is no member any more; it joins again by itself.
    public var retirementTimeout: Duration = .seconds(600)
    /// How long the orderly end of a log may take at most, see ``EventLog/shutDown()``. Whatever stops the process in
    /// the end, a container platform say, gives it longer than that.
    public var shutDownTimeLimit: Duration = .seconds(8)
    /// Events and bytes of payload that may wait to be persisted; callers wait beyond that.
    public var waitingEvents = 10_000
    /// Bytes of payload that may wait to be persisted; callers wait beyond that. 64 MiB by default.
    public var waitingBytes = 64 << 20
    /// Events and bytes of payload in one transaction.
    public var groupEvents = 1_000
    /// Bytes of payload in one transaction; 8 MiB by default.
    public var groupBytes = 8 << 20
    /// Events and bytes of payload in one batch of a reader.
    public var batchEvents = 1_000
    /// Bytes of payload in one batch of a reader, at least one event whatever its size; 8 MiB by default.
    public var batchBytes = 8 << 20
    /// How many times as many events and bytes one batch of a reader has that looks at them where they lie: it keeps
    /// nothing of them, and each snapshot costs something.
    public var rawBatchFactor = 8
    /// IDs that one snapshot of a consumer with a filter looks at, whatever passes: it is not kept open for longer.
    public var filteredIDs = 100_000
    /// Rows that are announced one by one after a commit; of a larger group only the position is announced.
    public var announcedRows = 64
    /// Whether this log speaks on a channel where other software announces streams. Such software is known by writers
    /// without epochs, and may come to harm by what it does not expect: another writer of its streams, or a stream that it
    /// does not know. Without this the log falls silent there, says so, and goes on through the database; it hears the
    /// other writers of its stream all the same. It speaks again, and says that too, on a new connection, or when nothing of
    /// such software was heard for a minute and none answers.
    public var speaksBesideOthers = false
    /// How long nothing of other software may have been heard before the log speaks again.
    var quietTimeBesideOthers: Duration = .seconds(60)

    /// The defaults.
    ///
    /// - Parameter hasKeyIndex: see ``hasKeyIndex``.
    public init(hasKeyIndex: Bool = false) {
        self.hasKeyIndex = hasKeyIndex
    }
}
