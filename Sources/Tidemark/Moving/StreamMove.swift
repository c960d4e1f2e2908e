/// Moves a stream from one store to another: events, tombstones and their IDs, the index of keys, epochs, consumers and their
/// places.
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
        /// Consumers, with their checkpoints.
        public var consumers = 0
        /// The newest ID of the sequence, above all that was ever visible.
        public var sequence: StreamID = 0
        /// Of all rows, the same on both sides: 64 bits by FNV-1a.
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
        try await requireWhole(here)
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
        // Of one that comes back, nothing is there any more.
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
        let arrived = try await compare(moved, &report) { progress(.compared(through: $0, of: end)) }
        // One that was begun meanwhile.
        try await indexKeys()
        try await destination.endArrival(of: stream, as: arrived)
        return report
    }

    /// What is left of events that were pruned cannot be moved yet: readers of the destination would be told nothing of them.
    private func requireWhole(_ here: MovedStream) async throws {
        guard here.movedTo == nil, let source = source as? any PrunableStore,
            let pruned = try await source.pruned(of: stream), pruned.through > 0
        else { return }
        throw TidemarkError.moveFailed(
            stream: stream,
            problem: "it was pruned up to \(pruned.through), and only a stream that has its beginning can be moved")
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

    /// Reads both sides again, row by row, and gives the consumers the marks of the destination.
    private func compare(
        _ moved: MovedStream, _ report: inout Report, _ tell: (StreamID) -> Void
    ) async throws -> MovedStream {
        var arrived = moved
        arrived.consumers.sort { $0.position < $1.position }
        report.consumers = arrived.consumers.count
        report.sequence = moved.sequence
        var sums = ConsumerSums(arrived.consumers)
        var next = 0
        /// Consumers whose places lie below this ID have been given all that was added up so far.
        func pass(before id: StreamID?) {
            while next < arrived.consumers.count, id.map({ arrived.consumers[next].position < $0 }) ?? true {
                // What it was given too little or too much stays so, and the audit finds it there as it would have here.
                let (here, there) = sums.ofConsumer(next)
                arrived.consumers[next].delivered = arrived.consumers[next].delivered.map {
                    DeliveredSum(count: $0.count + there.count - here.count, sum: $0.sum &+ there.sum &- here.sum)
                }
                next += 1
            }
        }
        var passed: [StreamID: (here: CommitMark, there: CommitMark)] = [:]
        let wanted = Set(arrived.consumers.compactMap(\.passed?.streamID))
        var digest = Digest()
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
                pass(before: row.streamID)
                digest.add(row)
                switch row.content {
                case .event: report.events += 1
                case .externalEvent: report.externalEvents += 1
                case .tombstone: report.tombstones += 1
                }
                sums.add(row, there: other.mark, consumers: next..<arrived.consumers.count)
                if wanted.contains(row.streamID) { passed[row.streamID] = (row.mark, other.mark) }
                position = row.streamID
            }
            tell(position)
        }
        pass(before: nil)
        for index in arrived.consumers.indices {
            guard let last = arrived.consumers[index].passed else { continue }
            let marks = passed[last.streamID]
            // An event that is not what it was when it was passed is none there either: no row has this mark.
            let mark = marks?.here == last.mark ? marks?.there : nil
            arrived.consumers[index].passed = Delivered(streamID: last.streamID, mark: mark ?? CommitMark(-1))
        }
        report.digest = digest.value
        return arrived
    }

    /// What consumers were to be given so far, with the marks of both sides: one sum for all that are given everything, and one
    /// for each of the others.
    private struct ConsumerSums {
        typealias Both = (here: DeliveredSum, there: DeliveredSum)

        private let consumers: [MovedConsumer]
        private var all: Both = (DeliveredSum(), DeliveredSum())
        private var others: [Int: Both] = [:]

        init(_ consumers: [MovedConsumer]) {
            self.consumers = consumers
            for (index, consumer) in consumers.enumerated() where consumer.start > 0 || consumer.filter != .all {
                others[index] = (DeliveredSum(), DeliveredSum())
            }
        }

        func ofConsumer(_ index: Int) -> Both { others[index] ?? all }

        /// - Parameter indexes: the consumers that have come as far as the row, or further.
        mutating func add(_ row: MovedRow, there mark: CommitMark, consumers indexes: Range<Int>) {
            if row.content == .tombstone { return }
            all.here.add(row.streamID, mark: row.mark)
            all.there.add(row.streamID, mark: mark)
            for index in others.keys where indexes.contains(index) {
                let consumer = consumers[index]
                guard row.streamID > consumer.start, Self.passes(row.content, consumer.filter) else { continue }
                others[index]?.here.add(row.streamID, mark: row.mark)
                others[index]?.there.add(row.streamID, mark: mark)
            }
        }

        private static func passes(_ content: MovedRow.Content, _ filter: EventFilter) -> Bool {
            guard case .event(let event) = content else { return filter == .all }
            return filter.passes(type: event.type, key: event.key)
        }
    }

    /// FNV-1a over all that a row says, with lengths between the parts.
    private struct Digest {
        private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

        mutating func add(_ row: MovedRow) {
            add(UInt64(bitPattern: row.streamID.rawValue))
            add(UInt64(bitPattern: row.persistedAtMilliseconds))
            add(row.instance.rawValue.utf8)
            switch row.content {
            case .tombstone: add(1)
            case .externalEvent: add(2)
            case .event(let event):
                add(event.id.utf8)
                add(event.type.utf8)
                add(event.key == nil ? 0 : 1)
                if let key = event.key { add(key.utf8) }
                add(event.payload)
                for (name, value) in event.metadata.sorted(by: { $0.key < $1.key }) {
                    add(name.utf8)
                    add(value.utf8)
                }
            }
        }

        private mutating func add(_ bytes: some Collection<UInt8>) {
            add(UInt64(bytes.count))
            for byte in bytes { add(byte: byte) }
        }

        private mutating func add(_ number: UInt64) {
            for shift in stride(from: 0, to: 64, by: 8) {
                add(byte: UInt8(truncatingIfNeeded: number >> UInt64(shift)))
            }
        }

        private mutating func add(byte: UInt8) { value = (value ^ UInt64(byte)) &* 0x100_0000_01b3 }
    }
}
