/// Moves a stream from one store to another: events, tombstones and their IDs, what pruning has left, the index of keys, epochs,
/// consumers with their places and partitions, and what they have parked.
///
/// Rows that can change no more are copied while writers go on. Then comes the change: all epochs end, the old store refuses
/// everybody and says where the stream went; the rest is copied, every row is compared, and the new store lets everybody in.
/// At no moment do both. A move that was stopped, however it was, is taken up where it was by another ``run(_:)``.
///
/// What users keep in tables of their own, under IDs of the stream, they move themselves.
public struct StreamMove: Sendable {
    /// The stream, which has the same name in both stores.
    public let stream: StreamName
    /// Where it is now. It keeps its rows, and refuses everybody once the move is done.
    public let source: any MovableStore
    /// Where it goes. The stream must not be there, unless an earlier run of the same move began it.
    public let destination: any MovableStore
    /// How many rows and bytes of payload one transaction has.
    public var batchRows = 1_000
    /// Bytes of payload in one transaction; 8 MiB by default.
    public var batchBytes = 8 << 20

    /// Touches neither store: ``run(_:)`` does.
    public init(_ stream: StreamName, from source: any MovableStore, to destination: any MovableStore) {
        self.stream = stream
        self.source = source
        self.destination = destination
    }

    /// What a move found, and compared.
    public struct Report: Hashable, Sendable {
        /// Events with what they say.
        public var events = 0
        /// Events in tables of the user's own, whose rows are not moved.
        public var externalEvents = 0
        /// IDs that were abandoned.
        public var tombstones = 0
        /// Events of which pruning has left the ids.
        public var prunedEvents = 0
        /// Keys that lost events to pruning.
        public var prunedKeys = 0
        /// Consumers, with their checkpoints.
        public var consumers = 0
        /// Events that they have parked.
        public var parked = 0
        /// The newest ID of the sequence, above all that was ever visible.
        public var sequence: StreamID = 0
        /// The digest of all rows and of all parked events, the same on both sides: 64 bits by FNV-1a.
        public var digest: UInt64 = 0
        /// Where an earlier run had come to; nil for the first.
        public var resumedAfter: StreamID?
        /// Whether an earlier run had done all of it. Then nothing was compared again: writers have gone on since.
        public var wasDone = false
    }

    /// Where a move is.
    public enum Progress: Hashable, Sendable {
        /// The destination has all rows up to here, while writers go on.
        case copied(through: StreamID, of: StreamID)
        /// From now on the old store refuses everybody.
        case changed
        /// All rows up to here were compared.
        case compared(through: StreamID, of: StreamID)
    }

    /// Moves it, or goes on where an earlier run was stopped.
    ///
    /// - Throws: ``TidemarkError/unknownStream(stream:store:)``; ``TidemarkError/streamExists(stream:store:)`` where the
    ///   destination has a stream of the name; ``TidemarkError/streamMoved(stream:store:to:)`` where the stream went elsewhere;
    ///   ``TidemarkError/moveFailed(stream:problem:)`` where the two sides differ; ``TidemarkError/invalidEvent(stream:id:problem:)``
    ///   for an event that the destination cannot keep; what the stores throw; `CancellationError`. After each of them the
    ///   move can be taken up again, or taken back with ``cancel()``.
    public func run(_ progress: @Sendable (Progress) -> Void = { _ in }) async throws -> Report {
        guard var here = try await source.movedStream(stream) else {
            throw TidemarkError.unknownStream(stream: stream, store: source.description)
        }
        if let place = here.movedTo, place != destination.description {
            throw TidemarkError.streamMoved(stream: stream, store: source.description, to: place)
        }
        if let place = here.arrivingFrom {
            throw TidemarkError.streamArriving(stream: stream, store: source.description, from: place)
        }
        var report = Report()
        let there = try await destination.movedStream(stream)
        if here.movedTo != nil, let there, there.arrivingFrom == nil {
            report.wasDone = true
            report.sequence = there.sequence
            report.consumers = there.consumers.count
            return report
        }
        try await destination.beginArrival(of: stream, from: source.description)
        // First, so that the rows take their keys along.
        try await indexKeys()
        // Nothing is left here of a stream that comes back.
        var position = try await destination.movedStream(stream)?.newestRow ?? 0
        if there?.arrivingFrom != nil { report.resumedAfter = position }

        // While writers go on: again as long as that brings much nearer to them.
        while here.movedTo == nil, position < here.minimum {
            let end = here.minimum
            position = try await copy(after: position, through: end) { progress(.copied(through: $0, of: end)) }
            guard let now = try await source.movedStream(stream) else { break }
            here = now
            if here.minimum.rawValue - position.rawValue < Int64(batchRows) { break }
        }

        try await source.moveAway(stream, to: destination.description)
        progress(.changed)
        guard let moved = try await source.movedStream(stream) else {
            throw TidemarkError.unknownStream(stream: stream, store: source.description)
        }
        let end = moved.newestRow
        _ = try await copy(after: position, through: end) { progress(.copied(through: $0, of: end)) }
        try await copyWhatWasPruned(moved.pruned)
        for consumer in moved.consumers { try await copyParked(by: consumer.name) }
        let arrived = try await compare(moved, &report) { progress(.compared(through: $0, of: end)) }
        // One that was begun meanwhile.
        try await indexKeys()
        try await destination.endArrival(of: stream, as: arrived)
        return report
    }

    /// Where the stream has an index of keys here, or one that is being built, it gets a complete one there.
    private func indexKeys() async throws {
        guard let here = source as? any KeyIndexStore, let there = destination as? any KeyIndexStore,
            try await here.keyIndex(of: stream) ?? .missing != .missing
        else { return }
        try await there.completeKeyIndex(of: stream)
    }

    /// Takes a move back that has not come to its end: the old store lets everybody in again, and what has arrived in the
    /// new one is removed.
    ///
    /// - Throws: ``TidemarkError/moveFailed(stream:problem:)`` where the stream has arrived, so that writers may have gone on
    ///   there: then it is moved back by another move.
    public func cancel() async throws {
        let there = try await destination.movedStream(stream)
        if let there, there.arrivingFrom == nil {
            guard try await source.movedStream(stream)?.movedTo == destination.description else { return }
            throw TidemarkError.moveFailed(
                stream: stream,
                problem: "it has arrived in \(destination), and writers may have gone on there: move it back from there"
            )
        }
        if let place = there?.arrivingFrom, place != source.description {
            throw TidemarkError.streamArriving(stream: stream, store: destination.description, from: place)
        }
        // First, so that the stream is never whole in neither.
        try await destination.cancelArrival(of: stream)
        if try await source.movedStream(stream)?.movedTo == destination.description {
            try await source.moveBack(stream)
        }
    }

    /// Copies rows up to `end`, and returns up to where.
    private func copy(after start: StreamID, through end: StreamID, _ tell: (StreamID) -> Void) async throws -> StreamID
    {
        var position = start
        while position < end {
            try Task.checkCancellation()
            let found = try await source.movedRows(
                of: stream, after: position, limit: batchRows, byteLimit: batchBytes)
            let rows = found.filter { $0.streamID <= end }
            guard let last = rows.last else { break }
            try await destination.receive(rows, in: stream)
            position = last.streamID
            tell(position)
        }
        return position
    }

    /// What was pruned while rows were copied is there as it was before; now nobody prunes any more.
    private func copyWhatWasPruned(_ prefix: PrunedPrefix) async throws {
        if prefix.through == 0 { return }
        var position: StreamID? = 0
        while let after = position {
            try Task.checkCancellation()
            position = try await destination.receivePruned(prefix, in: stream, after: after, limit: batchRows)
        }
        var last: String?
        while true {
            try Task.checkCancellation()
            let keys = try await source.movedPrunedKeys(of: stream, after: last, limit: batchRows)
            guard let next = keys.last else { return }
            try await destination.receivePruned(keys, in: stream)
            last = next.key
        }
    }

    private func copyParked(by consumer: ConsumerName) async throws {
        var position: StreamID = 0
        while true {
            try Task.checkCancellation()
            let events = try await source.movedParked(
                of: stream, by: consumer, after: position, limit: batchRows, byteLimit: batchBytes)
            guard let last = events.last else { return }
            try await destination.receiveParked(events, of: consumer, in: stream)
            position = last.streamID
        }
    }

    private func comparePrunedKeys(_ report: inout Report, _ digest: inout MoveDigest) async throws {
        var last: String?
        while true {
            try Task.checkCancellation()
            let keys = try await source.movedPrunedKeys(of: stream, after: last, limit: batchRows)
            let others = try await destination.movedPrunedKeys(of: stream, after: last, limit: max(keys.count, 1))
            guard keys == others else {
                throw TidemarkError.moveFailed(
                    stream: stream, problem: "\(source) and \(destination) do not have the same keys that were pruned")
            }
            guard let next = keys.last else { return }
            for key in keys { digest.add(key) }
            report.prunedKeys += keys.count
            last = next.key
        }
    }

    private func compareParked(
        by consumer: ConsumerName, _ report: inout Report, _ digest: inout MoveDigest
    ) async throws {
        var position: StreamID = 0
        while true {
            try Task.checkCancellation()
            let events = try await source.movedParked(
                of: stream, by: consumer, after: position, limit: batchRows, byteLimit: batchBytes)
            let others = try await destination.movedParked(
                of: stream, by: consumer, after: position, limit: max(events.count, 1), byteLimit: .max)
            guard events.count == others.count, zip(events, others).allSatisfy({ $0.isSame(as: $1) }) else {
                throw TidemarkError.moveFailed(
                    stream: stream,
                    problem:
                        "what consumer \(consumer) has parked above ID \(position) is not the same in \(source) and \(destination)"
                )
            }
            guard let last = events.last else { return }
            for event in events { digest.add(event, parkedBy: consumer) }
            report.parked += events.count
            position = last.streamID
        }
    }

    /// Reads both sides again, row by row, and gives the consumers the marks of the destination.
    private func compare(
        _ moved: MovedStream, _ report: inout Report, _ tell: (StreamID) -> Void
    ) async throws -> MovedStream {
        report.consumers = moved.consumers.count
        report.sequence = moved.sequence
        var places = MovedPlaces(moved)
        var digest = MoveDigest()
        var position: StreamID = 0
        while true {
            try Task.checkCancellation()
            let rows = try await source.movedRows(of: stream, after: position, limit: batchRows, byteLimit: batchBytes)
            let others = try await destination.movedRows(
                of: stream, after: position, limit: max(rows.count, 1), byteLimit: .max)
            guard rows.count == others.count else {
                throw TidemarkError.moveFailed(
                    stream: stream,
                    problem:
                        "above ID \(position) there are \(rows.count) rows in \(source) and \(others.count) in \(destination)"
                )
            }
            guard !rows.isEmpty else { break }
            for (row, other) in zip(rows, others) {
                guard row.isSame(as: other) else {
                    throw TidemarkError.moveFailed(
                        stream: stream,
                        problem:
                            "what \(source) has at ID \(row.streamID) is not what \(destination) has at \(other.streamID)"
                    )
                }
                places.add(row, there: other.mark)
                digest.add(row)
                switch row.content {
                case .event: report.events += 1
                case .externalEvent: report.externalEvents += 1
                case .tombstone: report.tombstones += 1
                case .pruned: report.prunedEvents += 1
                }
                position = row.streamID
            }
            tell(position)
        }
        try await comparePrunedKeys(&report, &digest)
        for consumer in moved.consumers { try await compareParked(by: consumer.name, &report, &digest) }
        report.digest = digest.value
        return places.arrived(moved)
    }
}
