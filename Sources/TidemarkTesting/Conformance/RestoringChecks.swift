import Tidemark

/// A backup takes the database's place while processes have it open, and it may come as far again as it was: only marks, nonces
/// and versions tell. Nobody may go on with what is not there any more, and nobody may take it for what it was.
extension StoreConformance {
    static let restoringChecks: [StoreCheck] = [
        //  p1                               p2
        //  has committed 1 to 4
        //                                   puts a backup with 1 and 2 back
        //                                   joins, commits 3 to 12
        //  is idle, and writes the next
        StoreCheck("a writer whose commits are gone is refused, however far the sequence has come", needs: .backUp) {
            stores in
            let (store, stream) = (stores.store, stores.stream)
            let writer = try await stores.join("p1").writer
            try await stores.persist(stores.events("a", "b"), writer)
            let restore = try await stores.backUp()
            try await stores.persist(stores.events("c", "d"), writer)
            try await restore()
            _ = try await stores.persistElsewhere((0..<10).map { "other \($0)" })
            try await stores.requireRefused { try await stores.persist(stores.events("e"), writer) }
            if let store = store as? any ImmediateEventStore {
                try await stores.requireRefused {
                    let group = EventGroup(stores.events("e"), in: stream, by: writer)
                    // Nil where it would have to wait.
                    if try store.persistImmediately(group) == nil { _ = try await store.persist(group) }
                }
            }
            try await stores.requireRefused {
                let id = try await store.allocate(1, in: stream, for: writer)[0]
                _ = try await store.persist(stores.events("e")[0], as: id, in: stream, by: writer)
            }
            try require(try await store.event(withID: "e", in: stream) == nil, "what was refused is there")
            // A new epoch goes by what it finds.
            let again = try await stores.join("p1").writer
            try require(try await stores.persist(stores.events("e"), again).map(\.isNew), is: [true])
        },
        StoreCheck("a scope whose IDs are above the sequence of a backup that was put back is refused", needs: .backUp)
        {
            stores in
            let (store, stream) = (stores.store, stores.stream)
            let writer = try await stores.join("p1").writer
            let restore = try await stores.backUp()
            let ids = try await store.allocate(2, in: stream, for: writer)
            try await restore()
            try await stores.requireRefused {
                _ = try await store.persist(stores.events("a")[0], as: ids[0], in: stream, by: writer)
            }
            try await stores.requireRefused {
                _ = try await store.persist(stores.events("a"), in: stream, by: writer, known: ids[1])
            }
            // What was lost is no tombstone's, and no promise's: in another incarnation it is void.
            do {
                let answer = try await store.abandon(ids, allocatedIn: nil, in: stream, by: writer)
                try require(answer, is: AbandonedIDs(void: ids))
            } catch let error as TidemarkError where error.saysWentBackwards {}
            try require(try await stores.reconcile().finished, is: [])
            let answer: HeartbeatAnswer?
            do { answer = try await stores.beat(writer, at: ids[1]) } catch let error as TidemarkError
                where error.saysWentBackwards
            { answer = .retired }
            try require(answer, is: .retired)
            try require(try await stores.reconcile().newestCommitted, is: 0)
        },
        StoreCheck("a backup from before a writer joined is no database to write to", needs: .backUp) { stores in
            _ = try await stores.join("p0")
            let restore = try await stores.backUp()
            let writer = try await stores.join("p1").writer
            try await restore()
            try await requireThrows("it went backwards", where: \.saysWentBackwards) {
                try await stores.persist(stores.events("a"), writer)
            }
            try await requireThrows("it went backwards", where: \.saysWentBackwards) {
                _ = try await stores.store.allocate(1, in: stores.stream, for: writer)
            }
            try await requireThrows("it went backwards", where: \.saysWentBackwards) {
                _ = try await stores.beat(writer, at: 0)
            }
        },
        StoreCheck("a backup from before a stream was made is no database to write to", needs: .backUp) { stores in
            let restore = try await stores.backUp()
            let writer = try await stores.join("p1").writer
            try await restore()
            try await requireThrows("it went backwards", where: \.saysWentBackwards) {
                try await stores.persist(stores.events("a"), writer)
            }
            try await requireThrows("it went backwards", where: \.saysWentBackwards) {
                _ = try await stores.store.allocate(1, in: stores.stream, for: writer)
            }
            try await requireThrows("it went backwards", where: \.saysWentBackwards) {
                _ = try await stores.store.abandon([1], in: stores.stream, by: writer)
            }
            try await requireThrows("it went backwards", where: \.saysWentBackwards) {
                _ = try await stores.beat(writer, at: 0)
            }
            try require(
                try await stores.store.reconciliation(of: stores.stream, above: 0, limit: 1) == nil,
                "the stream is there")
        },
        StoreCheck(
            "two lives of a database do not count alike: neither marks, nor versions, nor claims", needs: .backUp
        ) {
            stores in
            let writer = try await stores.join("p1").writer
            try await stores.persist(stores.events("a"), writer)
            _ = try await stores.store.claimConsumer("mailer", in: stores.stream)
            let restore = try await stores.backUp()
            var marks: Set<CommitMark> = []
            var versions: Set<Int> = []
            var nonces: Set<Int64> = []
            var generations: Set<Int> = []
            for life in 0..<4 {
                if life > 0 { try await restore() }
                let joined = try await stores.open().join(stores.stream, as: "p2")
                let store = try await stores.open()
                _ = try await store.persist(stores.events("b"), in: stores.stream, by: joined.writer)
                let event = try await store.event(withID: "b", in: stores.stream)
                if let event { marks.insert(event.mark) }
                versions.insert(joined.membership.version)
                nonces.insert(joined.nonce ?? 0)
                generations.insert(try await store.claimConsumer("mailer", in: stores.stream).generation)
            }
            try require(marks.count, is: 4)
            try require(nonces.count, is: 4)
            // They grow by random steps: the same one may come now and then.
            try require(versions.count > 1, "the membership versions of four lives are the same")
            try require(generations.count > 1, "the claims of four lives are the same")
        },
        StoreCheck("the event that a reader passed last is not taken for another one under its ID", needs: .backUp) {
            stores in
            let joined = try await stores.join("p1")
            try await stores.persist(stores.events("a"), joined.writer)
            let restore = try await stores.backUp()
            try await stores.persist(stores.events("b"), joined.writer)
            guard let last = try await stores.snapshot().last else {
                throw ConformanceFailure(description: "no event is there")
            }
            try await restore()
            func snapshot() async throws -> Snapshot { try await stores.snapshot(after: 2, delivered: last) }
            try require(try await snapshot().deliveredIsThere, is: false)
            // The same event in another life, perhaps under the same ID.
            _ = try await stores.persistElsewhere(["b", "c"])
            let now = try await snapshot()
            try require(now.deliveredIsThere, is: false)
            try require(now.events.count, is: 0)
            try require(try await stores.reconcile().newestCommitted >= 3, "nothing was committed")
        },
        StoreCheck("a batch from before a restore moves no checkpoint, and its events are read again", needs: .backUp) {
            stores in
            let writer = try await stores.join("p1").writer
            try await stores.persist(stores.events("a"), writer)
            let claim = try await stores.store.claimConsumer("mailer", in: stores.stream)
            let restore = try await stores.backUp()
            try await stores.persist(stores.events("b", "c"), writer)
            let batch = try await stores.snapshot()
            var sum = DeliveredSum()
            for event in batch.events { sum.add(event.streamID, mark: event.mark) }
            func checkpoint() async throws {
                try await stores.store.checkpoint(
                    claim, at: 3, snapshot: batch.mark, delivered: sum, passed: batch.last)
            }
            try await restore()
            // It is above the sequence.
            try await requireThrows("it went backwards", where: \.saysWentBackwards) { try await checkpoint() }
            _ = try await stores.persistElsewhere(["x", "y", "z"])
            // What it has passed is another event.
            try await requireThrows("it went backwards", where: \.saysWentBackwards) { try await checkpoint() }
            let next = try await stores.store.claimConsumer("mailer", in: stores.stream)
            try require(next.position, is: 0)
            try require(try await stores.snapshot().events.map(\.event.id), is: ["a", "x", "y", "z"])
        },
        StoreCheck("a backup from before a consumer was made is no take-over of it", needs: .backUp) { stores in
            let writer = try await stores.join("p1").writer
            try await stores.persist(stores.events("a"), writer)
            let restore = try await stores.backUp()
            let claim = try await stores.store.claimConsumer("mailer", in: stores.stream)
            let mark = try await stores.snapshot().mark
            try await restore()
            try await requireThrows("it went backwards", where: \.saysWentBackwards) {
                try await stores.store.verify(claim)
            }
            try await requireThrows("it went backwards", where: \.saysWentBackwards) {
                try await stores.store.checkpoint(claim, at: 1, snapshot: mark)
            }
        },
        StoreCheck("a place that was kept elsewhere, above a backup that was put back, is an error", needs: .backUp) {
            stores in
            let former = try await stores.join("p0").writer
            try await stores.persist(stores.events("a"), former)
            try await stores.store.leave(stores.stream, as: former)
            let restore = try await stores.backUp()
            let writer = try await stores.join("p1").writer
            try await stores.persist(stores.events("b"), writer)
            let snapshot = try await stores.snapshot()
            guard let last = snapshot.last else { throw ConformanceFailure(description: "no event is there") }
            let place = EventPlace(database: snapshot.database, id: last.streamID, mark: last.mark)
            func claim() async throws {
                var request = ConsumerRequest(stream: stores.stream, consumer: "mailer")
                request.start = .after(place)
                _ = try await stores.store.claimConsumer(request)
            }
            try await restore()
            try await requireThrows("it went backwards, or it is not reached", where: \.saysPlaceIsLost) {
                try await claim()
            }
            let other = try await stores.persistElsewhere(["x", "y"])
            _ = try await stores.beat(other, at: try await stores.reconcile().newestCommitted)
            try await requireThrows("it went backwards", where: \.saysWentBackwards) { try await claim() }
            try require(try await stores.store.status(of: stores.stream)?.consumers.count, is: 0)
        },
    ]
}

extension TidemarkError {
    /// Of a place above all that is there it cannot be told whether it was there, or is to come.
    fileprivate var saysPlaceIsLost: Bool { if case .notReached = self { true } else { saysWentBackwards } }
}

extension ConformanceStores {
    /// What goes on in another process after a restore.
    fileprivate func persistElsewhere(_ ids: [String]) async throws -> Writer {
        let store = try await open()
        let writer = try await store.join(stream, as: "p2").writer
        let events = ids.map { Event(id: $0, type: "noted", key: "k", payload: Array($0.utf8)) }
        _ = try await store.persist(events, in: stream, by: writer)
        return writer
    }

    /// A writer of a life that is over writes nothing: the database is known not to be what it was, or all epochs have ended
    /// with that life.
    fileprivate func requireRefused(line: UInt = #line, _ body: () async throws -> Void) async throws {
        func isRefusal(_ error: TidemarkError) -> Bool {
            switch error {
            case .retired(stream, _): true
            default: error.saysWentBackwards
            }
        }
        try await requireThrows("it went backwards, or the epoch is over", line: line, where: isRefusal, body)
    }
}
