/// The places of the consumers of a stream that is moved, and of their partitions, while all rows are compared: what each was given
/// so far, with the marks of both sides.
struct MovedPlaces {
    private typealias Both = (here: DeliveredSum, there: DeliveredSum)

    /// Whose place it is.
    private struct Owner: Hashable {
        let consumer: Int
        /// Nil for the consumer itself.
        let partition: Int?
    }

    private struct Place {
        let owner: Owner
        let position: StreamID
        let start: StreamID
        let filter: EventFilter
        /// How many partitions there are; nil where it is given the events of all of them.
        let partitions: Int?
        var delivered: DeliveredSum?
    }

    /// Ascending.
    private var places: [Place]
    /// The first that the rows have not come to.
    private var next = 0
    /// One sum for all that are given everything, and one for each of the others.
    private var all: Both = (DeliveredSum(), DeliveredSum())
    private var others: [Int: Both] = [:]
    private let wanted: Set<StreamID>
    private var passed: [StreamID: (here: CommitMark, there: CommitMark)] = [:]

    init(_ moved: MovedStream) {
        var places: [Place] = []
        for (number, consumer) in moved.consumers.enumerated() {
            places.append(
                Place(
                    owner: Owner(consumer: number, partition: nil), position: consumer.position, start: consumer.start,
                    filter: consumer.filter, partitions: nil, delivered: consumer.delivered))
            for (index, partition) in consumer.partitions.enumerated() {
                places.append(
                    Place(
                        owner: Owner(consumer: number, partition: index), position: partition.position,
                        start: partition.start, filter: consumer.filter, partitions: consumer.partitions.count,
                        // By another hash it is not known which events were its own.
                        delivered: partition.hash == PartitionHash.name ? partition.delivered : nil))
            }
        }
        self.places = places.sorted { $0.position < $1.position }
        for (index, place) in self.places.enumerated()
        where place.start > 0 || place.filter != .all || place.partitions != nil {
            others[index] = (DeliveredSum(), DeliveredSum())
        }
        wanted = Set(
            moved.consumers.flatMap { consumer in
                [consumer.passed?.streamID] + consumer.partitions.map(\.passed?.streamID)
            }.compactMap(\.self))
    }

    /// The next row, in ascending order.
    ///
    /// - Parameter mark: that of the destination.
    mutating func add(_ row: MovedRow, there mark: CommitMark) {
        pass(before: row.streamID)
        if wanted.contains(row.streamID) { passed[row.streamID] = (row.mark, mark) }
        switch row.content {
        // What was pruned is in a sum of its own, with the marks that it had.
        case .tombstone, .pruned: return
        case .event(let event): add(row, type: event.type, key: event.key, mark)
        case .externalEvent: add(row, type: nil, key: nil, mark)
        }
    }

    /// - Parameter type: nil of an event in a table of the user's own.
    private mutating func add(_ row: MovedRow, type: String?, key: String?, _ mark: CommitMark) {
        all.here.add(row.streamID, mark: row.mark)
        all.there.add(row.streamID, mark: mark)
        var partitions: [Int: Int] = [:]
        for index in others.keys where index >= next {
            let place = places[index]
            guard row.streamID > place.start,
                place.filter == .all || type.map({ place.filter.passes(type: $0, key: key) }) ?? false
            else { continue }
            if let count = place.partitions {
                let number =
                    partitions[count] ?? PartitionHash.partition(ofKey: key, id: row.streamID, of: count)
                partitions[count] = number
                guard number == place.owner.partition else { continue }
            }
            others[index]?.here.add(row.streamID, mark: row.mark)
            others[index]?.there.add(row.streamID, mark: mark)
        }
    }

    /// Those whose places lie below this ID have been given all that was added up so far.
    private mutating func pass(before id: StreamID?) {
        while next < places.count, id.map({ places[next].position < $0 }) ?? true {
            // A consumer that was given too little or too much keeps that difference, and the audit there finds it as here.
            let (here, there) = others[next] ?? all
            places[next].delivered = places[next].delivered.map {
                DeliveredSum(count: $0.count + there.count - here.count, sum: $0.sum &+ there.sum &- here.sum)
            }
            next += 1
        }
    }

    /// After the last row: the stream with the marks of the destination.
    func arrived(_ moved: MovedStream) -> MovedStream {
        var (places, arrived) = (self, moved)
        places.pass(before: nil)
        for place in places.places {
            if let partition = place.owner.partition {
                arrived.consumers[place.owner.consumer].partitions[partition].delivered = place.delivered
            } else {
                arrived.consumers[place.owner.consumer].delivered = place.delivered
            }
        }
        for consumer in arrived.consumers.indices {
            arrived.consumers[consumer].passed = there(arrived.consumers[consumer].passed, moved.pruned)
            for partition in arrived.consumers[consumer].partitions.indices {
                let passed = arrived.consumers[consumer].partitions[partition].passed
                arrived.consumers[consumer].partitions[partition].passed = there(passed, moved.pruned)
            }
        }
        return arrived
    }

    private func there(_ last: Delivered?, _ pruned: PrunedPrefix) -> Delivered? {
        guard let last else { return nil }
        guard let marks = passed[last.streamID] else {
            // No row is left of it on either side, and the newest that was pruned keeps its mark.
            if last.streamID <= pruned.through, pruned.mayHaveHeld(last) { return last }
            return Delivered(streamID: last.streamID, mark: CommitMark(-1))
        }
        // An event that is not what it was when it was passed is none there either: no row has this mark.
        return Delivered(streamID: last.streamID, mark: marks.here == last.mark ? marks.there : CommitMark(-1))
    }
}

/// FNV-1a over all that was compared, with lengths between the parts.
struct MoveDigest {
    private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

    mutating func add(_ row: MovedRow) {
        add(UInt64(bitPattern: row.streamID.rawValue))
        add(UInt64(bitPattern: row.persistedAtMilliseconds))
        add(row.instance.rawValue.utf8)
        switch row.content {
        case .tombstone: add(1)
        case .externalEvent: add(2)
        case .pruned(let id, let key):
            add(3)
            add(id.utf8)
            add(key)
        case .event(let event): add(event)
        }
    }

    mutating func add(_ key: PrunedKey) {
        add(key.key.utf8)
        add(UInt64(bitPattern: key.newest.rawValue))
    }

    mutating func add(_ parked: ParkedEvent, parkedBy consumer: ConsumerName) {
        add(consumer.rawValue.utf8)
        add(UInt64(bitPattern: parked.streamID.rawValue))
        add(UInt64(parked.partition))
        add(UInt64(parked.reason.rawValue))
        add(UInt64(bitPattern: Int64(parked.attempts)))
        add(UInt64(bitPattern: parked.parkedAtMilliseconds))
        add(parked.isToBeRetried ? 1 : 0)
        add(parked.storableProblem.utf8)
        if let event = parked.event?.event { add(event) }
    }

    private mutating func add(_ event: Event) {
        add(event.id.utf8)
        add(event.type.utf8)
        add(event.key)
        add(event.payload)
        for (name, value) in event.metadata.sorted(by: { $0.key < $1.key }) {
            add(name.utf8)
            add(value.utf8)
        }
    }

    private mutating func add(_ key: String?) {
        add(key == nil ? 0 : 1)
        if let key { add(key.utf8) }
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

extension ParkedEvent {
    /// PostgreSQL keeps no text with a NUL.
    fileprivate var storableProblem: String { problem.replacing("\0", with: "\u{fffd}") }

    /// Whether both say the same, apart from their marks.
    func isSame(as other: ParkedEvent) -> Bool {
        streamID == other.streamID && event?.event == other.event?.event && event?.instance == other.event?.instance
            && event?.persistedAtMilliseconds == other.event?.persistedAtMilliseconds
            && externalEvent?.instance == other.externalEvent?.instance && partition == other.partition
            && reason == other.reason && attempts == other.attempts
            && storableProblem == other.storableProblem
            && parkedAtMilliseconds == other.parkedAtMilliseconds && isToBeRetried == other.isToBeRetried
    }
}
