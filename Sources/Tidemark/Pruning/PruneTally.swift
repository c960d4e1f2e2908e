package import TidemarkCore

/// For stores: what one transaction that prunes has to know, and what it adds up while it looks at the rows.
package struct PruneTally: Sendable {
    /// Whose past is judged later by how many events it was to be given, and by their sum: a consumer, or one partition of it.
    package struct Consumer: Sendable {
        package let name: ConsumerName
        /// Nil for a consumer that has none.
        package let partition: (number: Int, count: Int)?
        package let start: StreamID
        package let position: StreamID
        package let filter: EventFilter
        /// What was pruned of it, all in all.
        package var pruned: DeliveredSum
        /// Whether some of that is new.
        package private(set) var hasChanged = false

        /// As one snapshot has it.
        package init(
            name: ConsumerName, partition: (number: Int, count: Int)? = nil, start: StreamID, position: StreamID,
            filter: EventFilter, pruned: DeliveredSum
        ) {
            self.name = name
            self.partition = partition
            self.start = start
            self.position = position
            self.filter = filter
            self.pruned = pruned
        }

        fileprivate mutating func take(_ event: Delivered, type: String?, key: String?) {
            guard event.streamID > start, event.streamID <= position else { return }
            if let partition,
                PartitionHash.partition(ofKey: key, id: event.streamID, of: partition.count) != partition.number
            {
                return
            }
            guard filter == .all || type.map({ filter.passes(type: $0, key: key) }) ?? false else { return }
            pruned.add(event.streamID, mark: event.mark)
            hasChanged = true
        }
    }

    private let request: PruneRequest
    /// Above it rows are removed.
    package let start: StreamID
    private let before: PrunedPrefix
    package private(set) var pruned: PrunedPrefix
    package private(set) var consumers: [Consumer]
    /// The newest event of each key that loses events, by the key's UTF-8.
    package private(set) var keys: [[UInt8]: StreamID] = [:]
    private var rows = 0
    private var last: StreamID

    /// - Parameter consumers: all of the stream; of those that have partitions each partition.
    /// - Throws: ``TidemarkError/unknownConsumer(stream:consumer:known:)``.
    package init(_ request: PruneRequest, _ pruned: PrunedPrefix, _ consumers: [Consumer]) throws(TidemarkError) {
        self.request = request
        self.pruned = pruned
        self.consumers = consumers
        before = pruned
        start = request.forgetsIDs ? pruned.forgottenThrough : pruned.through
        last = start
        let names = Set(consumers.map(\.name))
        for name in request.ignoring.sorted() where !names.contains(name) {
            throw .unknownConsumer(stream: request.stream, consumer: name, known: names.sorted())
        }
    }

    /// - Throws: ``TidemarkError/pruneHeldBack(stream:id:by:at:)``.
    package func requireFree(
        members: [Writer: StreamID], sequence: StreamID, newestRow: StreamID
    ) throws(TidemarkError) {
        // What is done already is done.
        guard request.through > before.through else { return }
        var lowest: (holder: PruneHolder, place: StreamID) = (.end, members.isEmpty ? newestRow : sequence)
        for (writer, position) in members where position < lowest.place { lowest = (.writer(writer), position) }
        for consumer in consumers where !request.ignoring.contains(consumer.name) && consumer.position < lowest.place {
            lowest = (.consumer(consumer.name), consumer.position)
        }
        guard request.through > lowest.place else { return }
        throw .pruneHeldBack(stream: request.stream, id: request.through, by: lowest.holder, at: lowest.place)
    }

    /// Whether there is nothing to look at.
    package var isDone: Bool { request.through <= start }

    /// Takes the next row, in ascending order from ``start`` on, as many as the request's limit at most.
    ///
    /// - Parameter kind: as in the stores' tables: 0 for an event, 1 for a tombstone, 2 for an event in a table of the user's own.
    package mutating func row(
        _ id: StreamID, mark: CommitMark, kind: Int64, type: String?, key: String?, milliseconds: Int64
    ) {
        rows += 1
        last = id
        // What was pruned before has only its id left to go.
        if id <= before.through { return }
        pruned.newestCommit = CommitMark(max(pruned.newestCommit.rawValue, mark.rawValue))
        if kind == 1 { return }
        let event = Delivered(streamID: id, mark: mark)
        pruned.add(event, milliseconds: milliseconds)
        let isExternal = kind == 2
        if !isExternal, let key { keys[Array(key.utf8)] = id }
        for index in consumers.indices {
            consumers[index].take(event, type: isExternal ? nil : type, key: isExternal ? nil : key)
        }
    }

    /// All rows that there are, or as many as the limit allows, were looked at: up to where they go.
    package mutating func end() -> (through: StreamID, step: PruneStep) {
        let isDone = rows < request.limit
        let end = isDone ? request.through : last
        pruned.through = max(before.through, end)
        if request.forgetsIDs { pruned.forgottenThrough = max(before.forgottenThrough, end) }
        return (
            end,
            PruneStep(
                events: Int(pruned.events.count - before.events.count), through: pruned.through, isDone: isDone)
        )
    }

    /// Consumers that are ignored and would read what is removed: they can go on no more, and would not be judged rightly if
    /// they did.
    package var passedOver: Set<ConsumerName> {
        guard let last = pruned.last else { return [] }
        return Set(
            consumers.lazy.filter { request.ignoring.contains($0.name) && $0.position < last.streamID }.map(\.name))
    }
}
