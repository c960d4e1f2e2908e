extension EventLog {
    /// A service that calls the handler for each event: the events of one key one after the other, others at the same time. It
    /// keeps its place under the name; a new one begins at `start`. Several processes may run it.
    ///
    /// A handler that throws is called again, see ``ProcessorConfiguration``. It is called for an event at least once, and may
    /// be again where its process ended; ``HandlingContext`` tells it more about the call.
    public func processor(
        _ name: ConsumerName, from start: ConsumerStart = .beginning, filter: EventFilter = .all,
        configuration: ProcessorConfiguration = ProcessorConfiguration(),
        handle: @escaping @Sendable (PersistedEvent) async throws -> Void
    ) -> EventProcessor {
        EventProcessor(
            name, of: self, from: start, filter: filter, configuration: configuration, order: .key,
            handler: .each(handle, external: nil))
    }

    /// The same for a stream that has events in tables of the user's own too. They have no key here, and wait for none.
    public func processor(
        _ name: ConsumerName, from start: ConsumerStart = .beginning, filter: EventFilter = .all,
        configuration: ProcessorConfiguration = ProcessorConfiguration(),
        handle: @escaping @Sendable (PersistedEvent) async throws -> Void,
        handleExternal: @escaping @Sendable (ExternalEvent) async throws -> Void
    ) -> EventProcessor {
        EventProcessor(
            name, of: self, from: start, filter: filter, configuration: configuration, order: .key,
            handler: .each(handle, external: handleExternal))
    }

    /// For stores whose handlers get their transaction. It handles and passes, or throws ``UnknownOutcome``. Where the log has
    /// another store, the processor does not run.
    ///
    /// - Parameter engine: the store's name for people.
    package func processor<Store: EventStore>(
        _ name: ConsumerName, from start: ConsumerStart, filter: EventFilter, configuration: ProcessorConfiguration,
        on engine: String,
        inTransaction handle:
            @escaping @Sendable (Store, PersistedEvent, ProcessorMachine.Start, ProcessorName) async throws -> Void
    ) -> EventProcessor {
        let handler: EventProcessor.Handler =
            if let store = store as? Store {
                .inTransaction { try await handle(store, $0, $1, $2) }
            } else {
                .none(
                    .unsuitableTransaction(
                        store: store.description, problem: "it is not \(engine)'s, as the handler's transaction"))
            }
        return EventProcessor(
            name, of: self, from: start, filter: filter, configuration: configuration, order: .partition,
            handler: handler)
    }

    /// What the processor has parked, ascending, from the first above `id`.
    ///
    /// - Throws: ``TidemarkError/unknownConsumer(stream:consumer:known:)``,
    ///   ``TidemarkError/noProcessors(stream:store:)``, or what the store throws.
    public func parkedEvents(
        of consumer: ConsumerName, after id: StreamID = 0, limit: Int = 1_000
    ) async throws -> [ParkedEvent] {
        try await processorStore().parkedEvents(of: ProcessorName(consumer, of: stream), after: id, limit: limit)
    }

    /// Marks parked events to be tried again, all where none are named; how many. A process that runs the processor does it
    /// within a second or so, and tells the handler that they come late.
    ///
    /// - Throws: ``TidemarkError/notParked(stream:consumer:ids:)``, and as ``parkedEvents(of:after:limit:)``.
    @discardableResult
    public func retryParked(_ ids: [StreamID]? = nil, of consumer: ConsumerName) async throws -> Int {
        try await processorStore().retryParked(ids, of: ProcessorName(consumer, of: stream))
    }

    /// Removes parked events, all where none are named; how many. Nobody handles them any more.
    ///
    /// - Throws: as ``retryParked(_:of:)``.
    @discardableResult
    public func dropParked(_ ids: [StreamID]? = nil, of consumer: ConsumerName) async throws -> Int {
        try await processorStore().dropParked(ids, of: ProcessorName(consumer, of: stream))
    }

    private func processorStore() throws -> any ProcessorStore {
        guard let store = store as? any ProcessorStore else {
            throw TidemarkError.noProcessors(stream: stream, store: "\(store)")
        }
        return store
    }
}
