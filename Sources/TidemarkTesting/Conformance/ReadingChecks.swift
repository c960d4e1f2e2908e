import Tidemark

extension StoreConformance {
    static let readingChecks: [StoreCheck] = [
        StoreCheck("a snapshot holds the events between two IDs, and says where a limit cut them off") { stores in
            let writer = try await stores.join("p1").writer
            try await stores.persist(stores.events("a", "b", "c", "d"), writer)
            let some = try await stores.snapshot(after: 1, through: 3)
            try require(some.events.map(\.streamID), is: [2, 3])
            try require(some.isTruncated, is: false)
            try require(some.newestEvent, is: 4)
            try require(some.sequence >= 4, "the sequence is below the newest event")
            let few = try await stores.snapshot(limit: 3)
            try require(few.events.count, is: 3)
            try require(few.isTruncated, is: true)
            let bytes = try await stores.snapshot(bytes: 1)
            try require((1...2).contains(bytes.events.count), "the limit of bytes let \(bytes.events.count) events in")
            try require(bytes.isTruncated, is: true)
        },
        //  reader                           writer p2
        //  computes its watermark
        //                                   joins: the version is raised
        //  snapshot: another version, no events
        StoreCheck("a writer that joins while a reader pauses keeps its batch empty, and comes with the snapshot") {
            stores in
            let joined = try await stores.join("p1")
            try await stores.persist(stores.events("a"), joined.writer)
            let late = try await stores.open().join(stores.stream, as: "p2")
            func snapshot(_ version: Int) async throws -> Snapshot? {
                let request = SnapshotRequest(
                    delivered: nil, membershipVersion: version, after: 0, through: 10, limit: 10, byteLimit: .max)
                return try await stores.store.snapshot(of: stores.stream, request)
            }
            let before = try await snapshot(joined.membership.version)
            try require(before?.events.count, is: 0)
            try require(before?.membership, is: late.membership)
            try require(try await snapshot(late.membership.version)?.events.count, is: 1)
            try await stores.store.leave(stores.stream, as: late.writer)
            try require(try await snapshot(late.membership.version)?.events.count, is: 0)
        },
        StoreCheck("without members a snapshot goes up to the newest event, for those who know that nobody is left") {
            stores in
            let writer = try await stores.join("p1").writer
            try await stores.persist(stores.events("a", "b"), writer)
            try await stores.store.leave(stores.stream, as: writer)
            let snapshot = try await stores.snapshot(through: 0)
            try require(snapshot.events.map(\.streamID), is: [1, 2])
            try require(snapshot.membership.members, is: [:])
            try require(try await stores.snapshot(versionOffset: -1).events.count, is: 0)
        },
        StoreCheck("tombstones are no events, and are gone by") { stores in
            let writer = try await stores.join("p1").writer
            try await stores.persist(stores.events("a"), writer)
            let id = try await stores.store.allocate(1, in: stores.stream, for: writer)
            _ = try await stores.store.abandon(id, in: stores.stream, by: writer)
            try await stores.persist(stores.events("b"), writer)
            let last = try await stores.store.allocate(1, in: stores.stream, for: writer)
            _ = try await stores.store.abandon(last, in: stores.stream, by: writer)
            let snapshot = try await stores.snapshot()
            try require(snapshot.events.map(\.streamID), is: [1, 3])
            try require(snapshot.newestEvent, is: 3)
            try require(snapshot.sequence, is: 4)
            try require(snapshot.isTruncated, is: false)
        },
        StoreCheck("a snapshot knows the event again that was delivered, by ID, mark and event id") { stores in
            let writer = try await stores.join("p1").writer
            try await stores.persist(stores.events("a", "b"), writer)
            guard let event = try await stores.snapshot().events.first else {
                throw ConformanceFailure(description: "no event is there")
            }
            let right = Delivered(streamID: event.streamID, mark: event.mark, eventID: "a")
            try require(try await stores.snapshot(after: 1, delivered: right).deliveredIsThere, is: true)
            try require(try await stores.snapshot(after: 1, delivered: right).events.map(\.event.id), is: ["b"])
            let wrong = [
                Delivered(streamID: 2, mark: event.mark, eventID: "a"),
                Delivered(streamID: 1, mark: CommitMark(event.mark.rawValue &+ 1), eventID: "a"),
                Delivered(streamID: 1, mark: event.mark, eventID: "A"),
            ]
            for delivered in wrong {
                let snapshot = try await stores.snapshot(after: 1, delivered: delivered)
                try require(snapshot.deliveredIsThere, is: false)
                try require(snapshot.events.isEmpty, "events came although what was delivered is not there")
            }
        },
        StoreCheck("what is committed and what is abandoned above an ID is read as ranges, at most so many IDs") {
            stores in
            let writer = try await stores.join("p1").writer
            _ = try await stores.store.allocate(9, in: stores.stream, for: writer)
            _ = try await stores.store.abandon([1, 2, 3, 7], in: stores.stream, by: writer)
            for (id, event) in zip([4, 8] as [StreamID], stores.events("a", "b")) {
                _ = try await stores.store.persist(event, as: id, in: stores.stream, by: writer)
            }
            let found = try await stores.reconcile()
            try require(found.sequence, is: 9)
            try require(found.newestCommitted, is: 8)
            try require(found.newest?.streamID, is: 8)
            try require(found.newest?.eventID, is: "b")
            try require(found.membership.members, is: [writer: 0])
            try require(found.finished, is: [1...4, 7...8])
            try require(try await stores.reconcile(limit: 5).finished, is: [1...4, 7...7])
            try require(try await stores.reconcile(above: 2).finished, is: [3...4, 7...8])
            try require(try await stores.reconcile(above: 8).finished, is: [])
            try require(try await stores.reconcile(limit: 0).finished, is: [])
            // A tombstone above all events is the newest that is committed, but no event.
            _ = try await stores.store.abandon([9], in: stores.stream, by: writer)
            try require(try await stores.reconcile().newestCommitted, is: 9)
            try require(try await stores.reconcile().newest?.streamID, is: 8)
        },
        StoreCheck("an event is found by its id, and a stream that is not there is not") { stores in
            let writer = try await stores.join("p1").writer
            try await stores.persist(stores.events("a"), writer)
            let found = try await stores.store.event(withID: "a", in: stores.stream)
            try require(found?.streamID, is: 1)
            try require(found?.event, is: stores.events("a")[0])
            try require(
                try await stores.store.event(withID: "b", in: stores.stream) == nil, "an event that is not there")
            try require(
                try await stores.store.snapshot(
                    of: "other",
                    SnapshotRequest(
                        delivered: nil, membershipVersion: 0, after: 0, through: 0, limit: 1, byteLimit: 1)) == nil,
                "a stream that is not there")
            try require(try await stores.store.status(of: "other") == nil, "the status of a stream that is not there")
        },
    ]

    static let batchChecks: [StoreCheck] = [
        StoreCheck("a batch ends at its limits of events and of bytes, and says whether they cut it off") { stores in
            let writer = try await stores.join("p1").writer
            try await stores.persist(
                (1...5).map { Event(id: "e\($0)", type: "t", payload: [1, 2, 3]) }, writer)
            let cases = [(0, 1_000, 0), (2, 1_000, 2), (5, 1_000, 5), (100, 1, 1), (100, 4, 2), (100, 15, 5)]
            for (limit, bytes, count) in cases {
                let snapshot = try await stores.snapshot(limit: limit, bytes: bytes)
                try require(snapshot.events.count, is: count)
                try require(snapshot.isTruncated, is: count < 5)
                try require(snapshot.passed?.streamID, is: count == 0 ? nil : StreamID(Int64(count)))
            }
        },
        StoreCheck("large and small events come in batches by bytes, all of them in order, copied and where they lie") {
            stores in
            let writer = try await stores.join("p1").writer
            let sizes = [0, 10, 10, 11, 500, 5, 40, 39, 2, 10, 10, 10, 10, 10, 10, 10, 10, 1]
            let all = sizes.enumerated().map { number, size in
                Event(id: "e\(number)", type: "sized", payload: [UInt8](repeating: 7, count: size))
            }
            try await stores.persist(all, writer)
            var read: [Event] = []
            var raw: [CopiedEvent] = []
            var position: StreamID = 0
            while read.count < all.count {
                let batch = try await stores.snapshot(after: position, limit: 8, bytes: 80)
                try require((1...8).contains(batch.events.count), "\(batch.events.count) events in a batch of 8")
                // Only the last of a batch may go beyond the limit.
                let bytes = batch.events.dropLast().reduce(0) { $0 + $1.event.payload.count }
                try require(bytes < 80, "\(bytes) bytes are beyond the limit, and one more event came")
                let shown = try await stores.raw(after: position, limit: 8, bytes: 80)
                try require(shown?.last, is: batch.last)
                try require(shown?.snapshot.isTruncated, is: batch.isTruncated)
                raw += shown?.result ?? []
                read += batch.events.map(\.event)
                position = batch.events.last?.streamID ?? position
                try require(batch.isTruncated, is: read.count < all.count)
            }
            try require(read, is: all)
            try require(raw.map(\.id), is: all.map { Array($0.id.utf8) })
        },
    ]

    static let rawChecks: [StoreCheck] = [
        StoreCheck("events that are looked at where they lie have what copied ones have") { stores in
            let writer = try await stores.join("p1").writer
            let group = [
                Event(id: "a", type: "noted", key: nil, payload: []),
                Event(id: "b", type: "noted", key: "", payload: [0, 1, 0]),
                Event(
                    id: "\u{1F30A} a wave that is longer than fifteen bytes", type: "waved", key: "\u{e9}",
                    metadata: ["cause": "b"], payload: [255]),
            ]
            try await stores.persist(group, writer)
            let copied = try await stores.snapshot()
            let raw = try await stores.raw()
            try require(raw?.result, is: copied.events.map(CopiedEvent.init))
            try require(raw?.count, is: 3)
            try require(raw?.delivered.count, is: 3)
            try require(raw?.last, is: copied.last)
            try require(raw?.snapshot.isTruncated, is: false)
            try require(raw?.snapshot.membership, is: copied.membership)
            let cut = try await stores.raw(limit: 2)
            try require(cut?.result.map(\.streamID), is: [1, 2])
            try require(cut?.last?.streamID, is: 2)
            try require(cut?.snapshot.isTruncated, is: true)
        },
        StoreCheck("no event is looked at in a snapshot that is not accepted, or of other members") { stores in
            let writer = try await stores.join("p1").writer
            try await stores.persist(stores.events("a", "b"), writer)
            for (offset, accepts) in [(0, false), (-1, true)] {
                let raw = try await stores.raw(versionOffset: offset, accepts: accepts)
                try require(raw?.result.isEmpty, is: true)
                try require(raw?.count, is: 0)
                try require(raw?.last, is: nil)
            }
            var other = stores
            other.stream = "other"
            try require(try await other.raw() == nil, "a stream that is not there has a snapshot")
        },
        StoreCheck("a look at an event that throws ends the snapshot with its error, and harms nobody") { stores in
            struct Enough: Error {}
            let writer = try await stores.join("p1").writer
            try await stores.persist(stores.events("a", "b"), writer)
            do {
                _ = try await stores.raw { _ in throw Enough() }
                throw ConformanceFailure(description: "the error is swallowed")
            } catch is Enough {}
            try require(try await stores.raw()?.count, is: 2)
            try require(try await stores.persist(stores.events("c"), writer), is: [.persisted(3)])
        },
    ]

    static let statusChecks: [StoreCheck] = [
        StoreCheck("the status shows members, those that left, consumers, and the least position") { stores in
            let writer = try await stores.join("p1").writer
            let other = try await stores.join("p2").writer
            try await stores.persist(stores.events("a"), writer)
            try await stores.store.leave(stores.stream, as: other)
            _ = try await stores.store.claimConsumer("mailer", in: stores.stream)
            _ = try await stores.beat(writer, at: 1)
            guard let status = try await stores.store.status(of: stores.stream) else {
                throw ConformanceFailure(description: "there is no status")
            }
            try require(status.writers.map(\.writer), is: [writer])
            try require(status.leftCount, is: 1)
            try require(status.consumers.map(\.name), is: ["mailer"])
            try require(status.minimumPersisted, is: 1)
            try require(
                try await stores.store.status(of: stores.stream, includingLeft: true)?.writers.count, is: 2)
        },
        StoreCheck("the minimum is the least durable position, and goes on as far as rows run without a gap") {
            stores in
            let (one, two) = (try await stores.join("p1").writer, try await stores.join("p2").writer)
            func minimum() async throws -> StreamID? {
                let status = try await stores.store.status(of: stores.stream)
                return status?.minimumPersisted
            }
            let held = try await stores.store.allocate(1, in: stores.stream, for: two)[0]
            try await stores.persist(stores.events("b", "c"), one)
            try require(try await minimum(), is: 0)
            _ = try await stores.store.persist(stores.events("a")[0], as: held, in: stores.stream, by: two)
            try require(try await minimum(), is: 3)
            _ = try await stores.store.allocate(4, in: stores.stream, for: one)
            _ = try await stores.beat(one, at: 2)
            _ = try await stores.store.closeWriter(stores.stream, instance: "p2")
            try require(try await minimum(), is: 3)
            let closed = try await stores.store.status(of: stores.stream)?.writers.filter(\.isClosed)
            try require(closed?.map(\.writer), is: [two])
            _ = try await stores.store.closeWriter(stores.stream, instance: "p1")
            try require(try await minimum(), is: 7)
        },
        StoreCheck("without members the minimum is the newest row") { stores in
            let writer = try await stores.join("p1").writer
            _ = try await stores.store.allocate(3, in: stores.stream, for: writer)
            try await stores.persist(stores.events("a"), writer)
            try await stores.store.leave(stores.stream, as: writer)
            let status = try await stores.store.status(of: stores.stream)
            try require(status?.minimumPersisted, is: 4)
            try require(status?.newestEvent, is: 4)
            try require(status?.sequence, is: 4)
            try require(status?.writers.count, is: 0)
            let left = try await stores.store.status(of: stores.stream, includingLeft: true)?.writers
            try require(left?.map(\.isMember), is: [false])
        },
        StoreCheck("the status has writers and consumers in the order of their names") { stores in
            for name in ["p3", "p1", "p2"] as [InstanceName] { _ = try await stores.join(name) }
            for name in ["mails", "audit"] as [ConsumerName] {
                _ = try await stores.store.claimConsumer(name, in: stores.stream)
            }
            let status = try await stores.store.status(of: stores.stream)
            try require(status?.writers.map(\.writer.instance), is: ["p1", "p2", "p3"])
            try require(status?.consumers.map(\.name), is: ["audit", "mails"])
        },
    ]
}

/// A raw event as it was when it was shown.
private struct CopiedEvent: Hashable, Sendable {
    let streamID: StreamID
    let id: [UInt8]
    let type: [UInt8]
    let key: [UInt8]?
    let payload: [UInt8]
    let hasMetadata: Bool
    let instance: InstanceName
    let mark: CommitMark

    init(_ event: RawEvent) {
        streamID = event.streamID
        id = Self.bytes(event.id)
        type = Self.bytes(event.type)
        key = if let bytes = event.key { Self.bytes(bytes) } else { nil }
        payload = Self.bytes(event.payload)
        hasMetadata = event.metadata != nil
        instance = event.instance
        mark = event.mark
    }

    init(_ event: PersistedEvent) {
        streamID = event.streamID
        id = Array(event.event.id.utf8)
        type = Array(event.event.type.utf8)
        key = event.event.key.map { Array($0.utf8) }
        payload = event.event.payload
        hasMetadata = !event.event.metadata.isEmpty
        instance = event.instance
        mark = event.mark
    }

    private static func bytes(_ span: Span<UInt8>) -> [UInt8] { span.indices.map { span[$0] } }
}

extension ConformanceStores {
    /// What a raw snapshot for the members of now shows.
    fileprivate func raw(
        after position: StreamID = 0, limit: Int = 1_000, bytes: Int = .max, versionOffset: Int = 0,
        accepts: Bool = true, _ look: @Sendable (RawEvent) throws -> Void = { _ in }
    ) async throws -> RawSnapshot<[CopiedEvent]>? {
        let version = try await store.reconciliation(of: stream, above: 0, limit: 0)?.membership.version ?? 0
        let request = SnapshotRequest(
            delivered: nil, membershipVersion: version + versionOffset, after: position, through: StreamID(.max),
            limit: limit, byteLimit: bytes)
        return try await store.rawSnapshot(of: stream, request, into: [CopiedEvent](), accepting: { _ in accepts }) {
            try look($1)
            $0.append(CopiedEvent($1))
        }
    }
}
