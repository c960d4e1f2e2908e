/// A store that can keep an index of the keys of a stream: all events of one key are found by it, and an event can be persisted
/// on the condition that nothing was added to its key.
///
/// It keeps these rules:
///
/// - The state of the index is read in each transaction that persists, and the keys of what is persisted go into it in the same
///   transaction.
/// - Where the index is complete, an event of a key commits only above the newest event of that key. So whoever has read a key's
///   events has read all that will ever be below the newest of them.
/// - Calls of a group are judged in their order, each seeing what the earlier ones persist. A call that is refused is refused
///   alone.
/// - Events in tables of the user's own have no key.
public protocol KeyIndexStore: EventStore {
    /// Makes the stream where it is missing. One without rows gets an index, which is complete; of every other stream this only
    /// tells the state.
    func makeKeyIndex(of stream: StreamName) async throws -> KeyIndexState
    /// One step of building the index, in a small transaction beside the writers: begins it where there is none, and takes up
    /// to `limit` rows into it, from the newest down. Does nothing where it is complete.
    ///
    /// - Throws: ``TidemarkError/unknownStream(stream:store:)``.
    func buildKeyIndex(of stream: StreamName, limit: Int) async throws -> KeyIndexState
    /// How far the index has come; nil where the stream does not exist.
    func keyIndex(of stream: StreamName) async throws -> KeyIndexState?
    /// The events of the key above `position` that are committed, in their order, from one fresh snapshot: `limit` at most, and
    /// none after their payloads have reached `byteLimit`.
    ///
    /// - Throws: ``TidemarkError/unknownStream(stream:store:)``,
    ///   ``TidemarkError/noKeyIndex(stream:store:isBuilding:)``.
    func events(
        ofKey key: String, in stream: StreamName, after position: StreamID, limit: Int, byteLimit: Int
    ) async throws -> [PersistedEvent]
}

/// How far a stream's index of keys has come.
public enum KeyIndexState: Hashable, Sendable {
    /// The stream has none, and pays nothing for it.
    case missing
    /// Writers put their events into it, and the events below this ID are not all in it yet.
    case building(from: StreamID)
    /// Every event that has a key is in it.
    case complete
}

/// What a call asks of the newest event of a key, byte for byte.
public struct KeyCondition: Hashable, Sendable {
    /// The key that all events of the call have.
    public let key: String
    /// The newest event that the key has to have; nil where it must have none.
    public let expected: StreamID?

    /// - Parameter expected: 0, which is the ID of no event, is taken as nil.
    public init(key: String, expected: StreamID?) {
        self.key = key
        self.expected = expected == 0 ? nil : expected
    }
}

extension KeyCondition {
    /// What is to be done with a call.
    public enum Judgement: Hashable, Sendable {
        /// It is persisted, as if there were no condition.
        case persist
        /// Nothing of it is written.
        case refuse(TidemarkError)
    }

    /// Why an event that is there already refuses its call.
    package static let isOfOtherKey = "it is there already under another key"
    package static let isHalfThere = "it is there already, and not all events of its call are"

    /// What the database has of one of the call's events: where it is, and whether it has the key of the condition.
    public typealias Found = (streamID: StreamID, hasKey: Bool)

    /// Judges a call by what its transaction sees.
    ///
    /// Where all of its events are there under the key, it is a call that is made again, and does not conflict with itself: it
    /// is persisted, which writes nothing and gives their IDs.
    ///
    /// - Parameters:
    ///   - found: looks an event up by its id.
    ///   - newest: looks the newest event of the key up, pruned ones included; nil or 0 where there is none.
    public func judge(
        _ events: ArraySlice<Event>, in stream: StreamName, found: (Event) throws -> Found?,
        newest: () throws -> StreamID?
    ) rethrows -> Judgement {
        var there = 0
        var isOfOtherKey = false
        var one = ""
        for event in events {
            guard let found = try found(event) else { continue }
            there += 1
            if one.isEmpty || !found.hasKey { one = event.id }
            isOfOtherKey = isOfOtherKey || !found.hasKey
        }
        if there > 0 {
            let problem =
                isOfOtherKey ? Self.isOfOtherKey : there < events.count ? Self.isHalfThere : nil
            guard let problem else { return .persist }
            return .refuse(.invalidEvent(stream: stream, id: String(one.prefix(64)), problem: problem))
        }
        let newest = try newest().flatMap { $0 == 0 ? nil : $0 }
        return newest == expected
            ? .persist : .refuse(.conflict(key: key, expected: expected, found: newest))
    }
}

extension KeyIndexStore {
    /// Builds the index of keys, step by step, until it is complete; writers go on meanwhile. Where it is stopped, or its process
    /// ends, the index stays as far as it has come, and another call takes it up from there.
    ///
    /// - Parameters:
    ///   - rows: how many rows one transaction takes in, 1 at least: writers wait for as long as that takes.
    ///   - progress: is told after each step.
    /// - Throws: as ``buildKeyIndex(of:limit:)``, and `CancellationError`.
    public func completeKeyIndex(
        of stream: StreamName, rows: Int = 500, progress: @Sendable (KeyIndexState) async throws -> Void = { _ in }
    ) async throws {
        precondition(rows >= 1, "a step takes at least one row in")
        while true {
            try Task.checkCancellation()
            let state = try await buildKeyIndex(of: stream, limit: rows)
            try await progress(state)
            if state == .complete { return }
            // Writers that wait come first.
            await Task.yield()
        }
    }
}
