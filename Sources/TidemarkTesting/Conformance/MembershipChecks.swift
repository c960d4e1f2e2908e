import Tidemark

extension StoreConformance {
    static let membershipChecks: [StoreCheck] = [
        StoreCheck("who joins first makes the stream, and has epoch 1 at position 0") { stores in
            try require(
                try await stores.store.reconciliation(of: stores.stream, above: 0, limit: 1) == nil,
                "the stream is there before anybody has joined")
            let joined = try await stores.join("p1")
            try require(joined.writer, is: Writer("p1", epoch: 1))
            try require(joined.position, is: 0)
            try require(joined.membership.members, is: [joined.writer: 0])
            try require((joined.nonce ?? 0) > 0, "the member has no nonce")
            try require(try await stores.reconcile().membership, is: joined.membership)
        },
        StoreCheck("each join, leave and retirement raises the membership version") { stores in
            var last = 0
            func require(higher version: Int, _ what: String) throws {
                try TidemarkTesting.require(version > last, "\(what) left the version at \(last)")
                last = version
            }
            let first = try await stores.join("p1")
            try require(higher: first.membership.version, "the first join")
            let second = try await stores.join("p2")
            try require(higher: second.membership.version, "the second join")
            try await stores.store.leave(stores.stream, as: first.writer)
            try require(higher: try await stores.reconcile().membership.version, "leaving")
            try await stores.store.retire(stores.stream, instance: "p2")
            try require(higher: try await stores.reconcile().membership.version, "retiring")
            try TidemarkTesting.require(try await stores.members(), is: [:])
        },
        StoreCheck("whoever joins again with the same nonce gets the same epoch") { stores in
            let first = try await stores.store.join(stores.stream, as: "p1", nonce: 7)
            let again = try await stores.store.join(stores.stream, as: "p1", nonce: 7)
            try require(again.writer, is: first.writer)
            try require(again.membership.version, is: first.membership.version)
            let other = try await stores.store.join(stores.stream, as: "p1", nonce: 8)
            try require(other.writer.epoch, is: first.writer.epoch + 1)
        },
        StoreCheck("who joins under a name takes it, and the former writer can do nothing more") { stores in
            let former = try await stores.join("p1").writer
            let ids = try await stores.store.allocate(1, in: stores.stream, for: former)
            let joined = try await stores.join("p1")
            try require(joined.writer.epoch, is: 2)
            try require(joined.position, is: ids[0])
            let taken = TidemarkError.instanceTaken(stream: stores.stream, writer: former, by: joined.writer)
            try await requireThrows(taken) { try await stores.persist(stores.events("a"), former) }
            try await requireThrows(taken) {
                _ = try await stores.store.persist(stores.events("a")[0], as: ids[0], in: stores.stream, by: former)
            }
            try await requireThrows(taken) {
                _ = try await stores.store.allocate(1, in: stores.stream, for: former)
            }
            try require(try await stores.beat(former, at: 0), is: .taken(by: joined.writer))
            try await requireThrows(taken) {
                _ = try await stores.store.rejoin(stores.stream, after: former, nonce: 9)
            }
            try require(try await stores.reconcile().newestCommitted, is: 0)
        },
        StoreCheck("a writer that left is retired, writes nothing, and may join again") { stores in
            let writer = try await stores.join("p1").writer
            try await stores.store.leave(stores.stream, as: writer)
            try await stores.store.leave(stores.stream, as: writer)
            try require(try await stores.members(), is: [:])
            try await requireThrows(.retired(stream: stores.stream, writer: writer)) {
                try await stores.persist(stores.events("a"), writer)
            }
            try require(try await stores.beat(writer, at: 0), is: .retired)
            let joined = try await stores.store.rejoin(stores.stream, after: writer, nonce: 9)
            try require(joined.writer.epoch > writer.epoch, "the new epoch is not above the one that is over")
            let again = try await stores.store.rejoin(stores.stream, after: writer, nonce: 9)
            try require(again.writer, is: joined.writer)
            try await stores.persist(stores.events("a"), joined.writer)
        },
        StoreCheck("who joins is at the newest ID, and another process sees it") { stores in
            let writer = try await stores.join("p1").writer
            try await stores.persist(stores.events("a", "b"), writer)
            let other = try await stores.open()
            let joined = try await other.join(stores.stream, as: "p2")
            try require(joined.position, is: 2)
            try require(try await stores.members()[joined.writer], is: 2)
        },
        StoreCheck("leaving twice, or being retired twice, changes nothing the second time") { stores in
            let writer = try await stores.join("p1").writer
            _ = try await stores.join("p2")
            try await stores.store.leave(stores.stream, as: writer)
            try await stores.store.retire(stores.stream, instance: "p2")
            let before = try await stores.reconcile().membership
            try await stores.store.leave(stores.stream, as: writer)
            try await stores.store.retire(stores.stream, instance: "p2")
            try require(try await stores.reconcile().membership, is: before)
        },
        StoreCheck("each join draws a nonce, which comes with the members") { stores in
            let first = try await stores.join("p1")
            let second = try await stores.join("p2")
            let again = try await stores.join("p1")
            let nonces = [first.nonce, second.nonce, again.nonce].compactMap(\.self)
            try require(Set(nonces).count == 3 && nonces.allSatisfy { $0 > 0 }, "\(nonces) are not three nonces")
            try require(
                try await stores.reconcile().membership.nonces,
                is: [again.writer: again.nonce, second.writer: second.nonce].compactMapValues(\.self))
        },
        StoreCheck("a writer whose name was taken does not take its successor off the members by leaving") { stores in
            let former = try await stores.join("p1").writer
            let successor = try await stores.join("p1")
            try await stores.store.leave(stores.stream, as: former)
            try require(try await stores.reconcile().membership, is: successor.membership)
            try require(try await stores.persist(stores.events("a"), successor.writer), is: [.persisted(1)])
        },
        // Only one whose name nobody took may join again.
        StoreCheck("a name that was taken and left is taken all the same, for who had it before") { stores in
            let first = try await stores.join("p1").writer
            let second = try await stores.join("p1").writer
            try await stores.store.leave(stores.stream, as: second)
            let taken = TidemarkError.instanceTaken(stream: stores.stream, writer: first, by: Writer("p1", epoch: 3))
            try await requireThrows(taken) { try await stores.persist(stores.events("a"), first) }
            try await requireThrows(taken) { _ = try await stores.store.rejoin(stores.stream, after: first) }
            try require(try await stores.beat(first, at: 0), is: .taken(by: Writer("p1", epoch: 3)))
            // The second one left by itself, or was retired: nobody has the name since.
            try require(
                try await stores.store.rejoin(stores.stream, after: second).writer, is: Writer("p1", epoch: 4))
        },
        StoreCheck("who asks once more to join again, because the answer was lost, gets the epoch that it has") {
            stores in
            let (store, stream) = (stores.store, stores.stream)
            let first = try await stores.join("p1").writer
            try await store.retire(stream, instance: "p1")
            let again = try await store.rejoin(stream, after: first, nonce: 7)
            try await stores.persist(stores.events("a"), again.writer)
            let same = try await store.rejoin(stream, after: first, nonce: 7)
            try require(same.writer, is: again.writer)
            try require(same.membership, is: again.membership)
            try require(same.position, is: again.position)
            try await requireThrows(.instanceTaken(stream: stream, writer: first, by: again.writer)) {
                _ = try await store.rejoin(stream, after: first, nonce: 8)
            }
            // Retired once more before it heard of it: still nobody else has had the name.
            try await store.retire(stream, instance: "p1")
            try require(try await store.rejoin(stream, after: first, nonce: 7).writer, is: Writer("p1", epoch: 5))
            let heir = try await stores.join("p1").writer
            try await requireThrows(.instanceTaken(stream: stream, writer: first, by: heir)) {
                _ = try await store.rejoin(stream, after: first, nonce: 7)
            }
        },
        StoreCheck("an epoch that the database has not seen means that it was put back") { stores in
            let writer = try await stores.join("p1").writer
            let future = Writer("p1", epoch: writer.epoch + 1)
            try await requireThrows("it went backwards", where: \.saysWentBackwards) {
                try await stores.persist(stores.events("a"), future)
            }
            try await requireThrows("it went backwards", where: \.saysWentBackwards) {
                _ = try await stores.store.allocate(1, in: stores.stream, for: future)
            }
            try await requireThrows("it went backwards", where: \.saysWentBackwards) {
                _ = try await stores.beat(future, at: 0)
            }
            // So does a writer of which it knows nothing.
            try await requireThrows("it went backwards", where: \.saysWentBackwards) {
                try await stores.persist(stores.events("a"), Writer("p9", epoch: 1))
            }
            try require(try await stores.reconcile().newestCommitted, is: 0)
        },
        StoreCheck("streams of one database have IDs, event ids, writers and consumers of their own") { stores in
            var other = stores
            other.stream = "other"
            let (here, there) = (try await stores.join("p1").writer, try await other.join("p1").writer)
            _ = try await other.join("p2")
            try require(try await stores.persist(stores.events("a"), here), is: [.persisted(1)])
            try require(try await other.persist(stores.events("a", "b"), there), is: [.persisted(1), .persisted(2)])
            try require(
                try await stores.store.event(withID: "b", in: stores.stream) == nil, "an event of another stream")
            try require(try await stores.members().count, is: 1)
            try require(try await other.members().count, is: 2)
            _ = try await stores.store.claimConsumer("mailer", in: other.stream)
            try require(try await stores.store.status(of: stores.stream)?.consumers.count, is: 0)
        },
    ]

    /// For stores whose names can be forgotten.
    static let nameChecks: [StoreCheck] = [
        forgettingCheck("a name that was forgotten is of no writer that left, and its events keep it") {
            stores, store in
            let old = try await stores.join("old").writer
            try await stores.persist(stores.events("a"), old)
            try await store.leave(stores.stream, as: old)
            try require(try await store.forget(stores.stream, instance: "old"), is: true)
            try require(try await store.status(of: stores.stream)?.leftCount, is: 0)
            try require(try await stores.snapshot().events.map(\.instance), is: ["old"])
            _ = try await store.claimConsumer("c", in: stores.stream)
            try require(try await store.audit(stores.stream, consumer: "c", limit: 10).findings, is: [])
            // No epoch of a name comes twice.
            try require(try await stores.join("old").writer.epoch > old.epoch + 1, "an epoch of the name comes twice")
            try require(
                try await stores.join("new").writer.epoch > old.epoch + 1, "a name begins below what was forgotten")
        },
        // A machine that was suspended for a month.
        forgettingCheck("a writer whose name was forgotten is retired, and joins again") { stores, store in
            let writer = try await stores.join("p1").writer
            try await store.retire(stores.stream, instance: "p1")
            try require(try await store.forget(stores.stream, instance: "p1"), is: true)
            try await requireThrows(.retired(stream: stores.stream, writer: writer)) {
                try await stores.persist(stores.events("a"), writer)
            }
            try require(try await stores.beat(writer, at: 0), is: .retired)
            try await store.leave(stores.stream, as: writer)
            let again = try await store.rejoin(stores.stream, after: writer).writer
            try require(again.epoch > writer.epoch + 1, "an epoch of the name comes twice")
            try require(try await stores.persist(stores.events("a"), again), is: [.persisted(1)])
            try await requireThrows(.instanceTaken(stream: stores.stream, writer: writer, by: again)) {
                try await stores.persist(stores.events("b"), writer)
            }
        },
        forgettingCheck("a member is not forgotten, and a name that nobody knows is an error") { stores, store in
            let writer = try await stores.join("p1").writer
            try require(try await store.forget(stores.stream, instance: "p1"), is: false)
            try require(try await stores.persist(stores.events("a"), writer), is: [.persisted(1)])
            try await requireThrows(.unknownInstance(stream: stores.stream, instance: "p2")) {
                _ = try await store.forget(stores.stream, instance: "p2")
            }
            try await requireThrows("there is no such stream", where: \.isUnknownStream) {
                _ = try await store.forget("other", instance: "p1")
            }
        },
    ]

    private static func forgettingCheck(
        _ description: String,
        _ body: @escaping @Sendable (ConformanceStores, any ForgettingStore) async throws -> Void
    ) -> StoreCheck {
        StoreCheck(description) { stores in
            // A store need not forget names.
            if let store = stores.store as? any ForgettingStore { try await body(stores, store) }
        }
    }
}
