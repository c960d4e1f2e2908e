extension EventLog {
    /// The events of one key above `position`, in their order, up to what is committed. That includes events that background
    /// readers still wait for, and those that this log has just persisted.
    ///
    /// A page: ``EventLogConfiguration/batchEvents`` events at most, and none after their payloads have reached
    /// ``EventLogConfiguration/batchBytes``. Ask again after the last one, until none comes; what was read does not change
    /// meanwhile, for an event of a key commits only above the newest of it. The last of all is what
    /// ``persist(_:ifNewest:ofKey:)`` expects.
    ///
    /// - Parameter key: compared byte for byte.
    /// - Throws: ``TidemarkError/noKeyIndex(stream:store:isBuilding:)``, ``TidemarkError/unknownStream(stream:store:)``, or what
    ///   the store throws.
    public func events(ofKey key: String, after position: StreamID = 0) async throws -> [PersistedEvent] {
        guard let store = store as? any KeyIndexStore else {
            throw TidemarkError.noKeyIndex(stream: stream, store: "\(store)", isBuilding: false)
        }
        return try await store.events(
            ofKey: key, in: stream, after: position, limit: max(configuration.batchEvents, 1),
            byteLimit: configuration.batchBytes)
    }

    /// Persists the events in one transaction, all or none, only if the newest event of their key is `expected` then, and
    /// returns their IDs in their order.
    ///
    /// So a decision that was made on what ``events(ofKey:after:)`` gave was made on all there is. On a conflict load what was
    /// added, decide again, and call again with events of other ids. A call that is made again with the same ids, because its
    /// answer was lost, gets the IDs that they have, and does not conflict with itself.
    ///
    /// - Parameters:
    ///   - events: all of this key. Without any nothing is asked.
    ///   - expected: the newest event of the key; nil (or 0) where it must have none. A pruned one counts.
    /// - Throws: ``TidemarkError/conflict(key:expected:found:)``, and then nothing was written;
    ///   ``TidemarkError/noKeyIndex(stream:store:isBuilding:)``; ``TidemarkError/invalidEvent(stream:id:problem:)``, also for an
    ///   event of another key, and where some of the events are there already and others are not; otherwise as
    ///   ``EventPersister/persist(_:)``.
    @discardableResult
    public func persist(
        _ events: [Event], ifNewest expected: StreamID?, ofKey key: String
    ) async throws -> [StreamID] {
        try await persister.persist(
            events.traced(limits: configuration.limits), on: KeyCondition(key: key, expected: expected)
        ).map(\.streamID)
    }

    /// The stream is made with an index where it has no rows yet.
    ///
    /// - Throws: ``TidemarkError/noKeyIndex(stream:store:isBuilding:)`` where it has rows, and nobody has begun one.
    static func requireKeyIndex(of stream: StreamName, in store: any EventStore) async throws {
        guard let indexed = store as? any KeyIndexStore, try await indexed.makeKeyIndex(of: stream) != .missing else {
            throw TidemarkError.noKeyIndex(stream: stream, store: "\(store)", isBuilding: false)
        }
    }
}
