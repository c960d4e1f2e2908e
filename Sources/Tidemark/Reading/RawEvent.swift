/// An event as it lies in the store: its texts and its payload are borrowed, and nothing of them is copied.
///
/// It cannot outlive the call that it is passed to; the compiler sees to that. Texts are UTF-8.
public struct RawEvent: ~Escapable {
    /// Its place in the stream.
    public let streamID: StreamID
    /// Whether it is in a table of the user's own: then its id, type and payload are not known here, and empty.
    public let isExternal: Bool
    /// The event's id, UTF-8.
    public let id: Span<UInt8>
    /// The event's type, UTF-8.
    public let type: Span<UInt8>
    /// Nil when the event is about nothing in particular.
    public let key: Span<UInt8>?
    /// The event's payload.
    public let payload: Span<UInt8>
    /// As one JSON object of texts; nil where there is none.
    public let metadata: Span<UInt8>?
    /// The instance that persisted it.
    public let instance: InstanceName
    /// When it was persisted, in milliseconds since 1970-01-01 UTC by the writer's wall clock. For people.
    public let persistedAtMilliseconds: Int64
    /// The number of the commit that wrote it.
    public let mark: CommitMark

    /// For stores.
    @_lifetime(copy id, copy type, copy key, copy payload, copy metadata)
    public init(
        streamID: StreamID, isExternal: Bool = false, id: Span<UInt8>, type: Span<UInt8>, key: Span<UInt8>?,
        payload: Span<UInt8>, metadata: Span<UInt8>?, instance: InstanceName, persistedAtMilliseconds: Int64,
        mark: CommitMark
    ) {
        self.streamID = streamID
        self.isExternal = isExternal
        self.id = id
        self.type = type
        self.key = key
        self.payload = payload
        self.metadata = metadata
        self.instance = instance
        self.persistedAtMilliseconds = persistedAtMilliseconds
        self.mark = mark
    }
}

/// What a snapshot gave to a caller that looked at its events one by one.
public struct RawSnapshot<Result: Sendable>: Sendable {
    /// Without its events; whether a limit cut them off is in it.
    public let snapshot: Snapshot
    /// The last event that is passed, as ``Snapshot/passed``; nil when there is none.
    public let last: Delivered?
    /// How many events there were, and their sum.
    public let delivered: DeliveredSum
    /// What `visit` has made of what it began with.
    public let result: Result

    /// How many events `visit` was shown.
    public var count: Int { Int(delivered.count) }

    /// For stores that lend their events.
    public init(snapshot: Snapshot, last: Delivered?, delivered: DeliveredSum, result: Result) {
        self.snapshot = snapshot
        self.last = last
        self.delivered = delivered
        self.result = result
    }
}

extension EventStore {
    /// A store that has nothing to lend shows its events.
    public func rawSnapshot<Result: Sendable>(
        of stream: StreamName, _ request: SnapshotRequest, into result: Result,
        accepting: @Sendable (Snapshot) -> Bool, _ visit: @Sendable (inout Result, RawEvent) throws -> Void
    ) async throws -> RawSnapshot<Result>? {
        guard let whole = try await snapshot(of: stream, request) else { return nil }
        var result = result
        var last: Delivered?
        var delivered = DeliveredSum()
        // What is in tables of the user's own has its turn by its place, like everything else.
        var external = (accepting(whole) ? whole.externalEvents : [])[...]
        let events = accepting(whole) ? whole.events : []
        for event in events {
            while let first = external.first, first.streamID < event.streamID {
                try external.removeFirst().withRaw { try visit(&result, $0) }
                delivered.add(first.streamID, mark: first.mark)
            }
            try event.withRaw { try visit(&result, $0) }
            delivered.add(event.streamID, mark: event.mark)
        }
        for event in external {
            try event.withRaw { try visit(&result, $0) }
            delivered.add(event.streamID, mark: event.mark)
        }
        if accepting(whole) { last = whole.passed }
        let snapshot = Snapshot(
            membership: whole.membership, newestEvent: whole.newestEvent, sequence: whole.sequence,
            mark: whole.mark, deliveredIsThere: whole.deliveredIsThere,
            consumerGeneration: whole.consumerGeneration, events: [], isTruncated: whole.isTruncated,
            database: whole.database, passed: last)
        return RawSnapshot(snapshot: snapshot, last: last, delivered: delivered, result: result)
    }
}

extension ExternalEvent {
    fileprivate func withRaw(_ body: (RawEvent) throws -> Void) rethrows {
        let none: [UInt8] = []
        try body(
            RawEvent(
                streamID: streamID, isExternal: true, id: none.span, type: none.span, key: nil, payload: none.span,
                metadata: nil, instance: instance, persistedAtMilliseconds: persistedAtMilliseconds, mark: mark))
    }
}

extension PersistedEvent {
    fileprivate func withRaw(_ body: (RawEvent) throws -> Void) throws {
        let (id, type) = (Array(event.id.utf8), Array(event.type.utf8))
        let key = event.key.map { Array($0.utf8) }
        let metadata = try MetadataText.text(event.metadata).map { Array($0.utf8) }
        try body(
            RawEvent(
                streamID: streamID, id: id.span, type: type.span, key: key?.span, payload: event.payload.span,
                metadata: metadata?.span, instance: instance, persistedAtMilliseconds: persistedAtMilliseconds,
                mark: mark))
    }
}
