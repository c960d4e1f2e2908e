/// What a writer persists.
public struct Event: Hashable, Sendable {
    /// Unique in its stream, compared byte for byte. Persisting the same id again writes nothing and returns the
    /// stream ID that the event already has.
    public var id: String
    /// What kind of event it is.
    public var type: String
    /// What it is about, an account or a room; nil when it is about nothing in particular.
    public var key: String?
    /// Bytes that Tidemark keeps and never looks into.
    public var payload: [UInt8]

    public init(id: String, type: String, key: String? = nil, payload: [UInt8] = []) {
        self.id = id
        self.type = type
        self.key = key
        self.payload = payload
    }
}

/// An event as the store has it.
public struct PersistedEvent: Hashable, Sendable {
    public let event: Event
    /// Its place in the stream.
    public let streamID: StreamID
    /// Who persisted it.
    public let instance: InstanceName
    /// When it was persisted, in milliseconds since 1970-01-01 UTC by the writer's wall clock. For people: nothing is
    /// ordered or decided by it.
    public let persistedAtMilliseconds: Int64
    /// The number of the commit that wrote it; ascends with the order of commits, which is not that of stream IDs.
    public let mark: CommitMark

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
    /// Bytes of UTF-8 in an event's type, and in its key.
    public var typeBytes = 255
    public var keyBytes = 1024
    /// Bytes in an event's payload; the default is 1 MiB.
    public var payloadBytes = 1 << 20

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
    }
}

extension [Event] {
    /// How many bytes their payloads have together.
    package var payloadBytes: Int {
        let span = span
        return span.indices.reduce(0) { $0 + span[$1].payload.count }
    }
}
