/// What a writer persists.
public struct Event: Hashable, Sendable {
    /// Unique in its stream, compared byte for byte. Persisting the same id again writes nothing and returns the
    /// stream ID that the event already has.
    public var id: String
    /// What kind of event it is.
    public var type: String
    /// What it is about, an account or a room; nil when it is about nothing in particular.
    public var key: String?
    /// A few short strings by name, beside the payload: ids of what caused it, the payload's content type, the version of
    /// its schema. ``EventLimits`` bounds them.
    public var metadata: [String: String]
    /// Bytes that Tidemark keeps and never looks into.
    public var payload: [UInt8]

    /// Nothing is checked here: a log checks an event against its ``EventLimits`` when it is persisted.
    public init(
        id: String, type: String, key: String? = nil, metadata: [String: String] = [:], payload: [UInt8] = []
    ) {
        self.id = id
        self.type = type
        self.key = key
        self.metadata = metadata
        self.payload = payload
    }
}

/// An event as the store has it.
public struct PersistedEvent: Hashable, Sendable {
    /// What its writer handed over, unchanged.
    public let event: Event
    /// Its place in the stream.
    public let streamID: StreamID
    /// The instance that persisted it.
    public let instance: InstanceName
    /// When it was persisted, in milliseconds since 1970-01-01 UTC by the writer's wall clock. For people: nothing is
    /// ordered or decided by it.
    public let persistedAtMilliseconds: Int64
    /// The number of the commit that wrote it; ascends with the order of commits, which is not that of stream IDs.
    public let mark: CommitMark

    /// For stores, and for tests of what reads events.
    public init(
        event: Event, streamID: StreamID, instance: InstanceName, persistedAtMilliseconds: Int64, mark: CommitMark
    ) {
        self.event = event
        self.streamID = streamID
        self.instance = instance
        self.persistedAtMilliseconds = persistedAtMilliseconds
        self.mark = mark
    }
}

/// How large an event may be. A store enforces what its own columns can hold; these are checked first, for each event
/// alone, so that one bad event fails its own caller and nobody else's.
public struct EventLimits: Hashable, Sendable {
    /// Bytes of UTF-8 in an event's id.
    public var idBytes = 255
    /// Bytes of UTF-8 in an event's type.
    public var typeBytes = 255
    /// Bytes of UTF-8 in an event's key.
    public var keyBytes = 1024
    /// Bytes in an event's payload; the default is 1 MiB.
    public var payloadBytes = 1 << 20
    /// Entries in an event's metadata.
    public var metadataEntries = 64
    /// Bytes of UTF-8 in the names and values of an event's metadata together; the default is 16 KiB.
    public var metadataBytes = 16 << 10

    /// The default limits, which every store of this package can hold.
    public init() {}

    /// - Throws: ``TidemarkError/invalidEvent(stream:id:problem:)``.
    public func check(_ events: [Event], in stream: StreamName) throws {
        // A span lends its elements: a loop over the array would copy each of them.
        let span = events.span
        for index in span.indices { try check(span[index], in: stream) }
    }

    /// - Throws: ``TidemarkError/invalidEvent(stream:id:problem:)``.
    public func check(_ event: Event, in stream: StreamName) throws {
        func fail(_ problem: String) -> TidemarkError {
            // The id may be what is too long: what is shown of it has a bound too.
            .invalidEvent(stream: stream, id: String(event.id.prefix(64)), problem: problem)
        }
        func check(_ name: String, _ text: String, _ limit: Int) throws {
            let count = text.utf8.count
            if count == 0 { throw fail("its \(name) is empty") }
            if count > limit { throw fail("its \(name) has \(count) bytes, the limit is \(limit)") }
        }
        try check("id", event.id, idBytes)
        try check("type", event.type, typeBytes)
        if let count = event.key?.utf8.count, count > keyBytes {
            throw fail("its key has \(count) bytes, the limit is \(keyBytes)")
        }
        if event.payload.count > payloadBytes {
            throw fail("its payload has \(event.payload.count) bytes, the limit is \(payloadBytes)")
        }
        if event.metadata.isEmpty { return }
        if event.metadata.count > metadataEntries {
            throw fail("its metadata has \(event.metadata.count) entries, the limit is \(metadataEntries)")
        }
        if event.metadata.keys.contains("") { throw fail("a name in its metadata is empty") }
        let count = event.metadataBytes
        if count > metadataBytes { throw fail("its metadata has \(count) bytes, the limit is \(metadataBytes)") }
    }
}

extension Event {
    /// Bytes of UTF-8 in the names and values of its metadata.
    package var metadataBytes: Int {
        metadata.isEmpty ? 0 : metadata.reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count }
    }
}

extension [Event] {
    /// How many bytes their payloads have together, and their metadata.
    package var payloadBytes: Int {
        let span = span
        return span.indices.reduce(0) { $0 + span[$1].payload.count + span[$1].metadataBytes }
    }
}
