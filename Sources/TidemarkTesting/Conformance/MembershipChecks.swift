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
        StoreCheck("a heartbeat raises the position and never lowers it, and is seen") { stores in
            let writer = try await stores.join("p1").writer
            _ = try await stores.store.allocate(5, in: stores.stream, for: writer)
            let before = try await stores.reconcile().observations.first
            try require(try await stores.beat(writer, at: 3), is: .alive(newestCommitted: 0, durablePosition: 3))
            try require(try await stores.beat(writer, at: 2), is: .alive(newestCommitted: 0, durablePosition: 3))
            let after = try await stores.reconcile().observations.first
            try require(after?.position, is: 3)
            try require(before?.heartbeat != after?.heartbeat, "the sign of life is the same as before")
            try require(try await stores.members(), is: [writer: 3])
        },
        StoreCheck("a position above the sequence is refused") { stores in
            let writer = try await stores.join("p1").writer
            try await requireThrows("it went backwards", where: \.saysWentBackwards) {
                _ = try await stores.beat(writer, at: 9)
            }
        },
    ]

    static let closingChecks: [StoreCheck] = [
        StoreCheck("what was allocated before a writer was closed cannot be committed") { stores in
            let writer = try await stores.join("p1").writer
            let ids = try await stores.store.allocate(2, in: stores.stream, for: writer)
            try require(try await stores.store.closeWriter(stores.stream, instance: "p1"), is: 2)
            try await requireThrows(.closed(stream: stores.stream, instance: "p1", id: ids[1])) {
                _ = try await stores.store.persist(stores.events("a")[0], as: ids[1], in: stores.stream, by: writer)
            }
            try require(
                try await stores.persist(stores.events("a"), writer), is: [.persisted(3)])
            try require(try await stores.beat(writer, at: 0), is: .alive(newestCommitted: 3, durablePosition: 2))
        },
        StoreCheck("a writer is closed and retired only as it was observed") { stores in
            let writer = try await stores.join("p1").writer
            _ = try await stores.store.allocate(2, in: stores.stream, for: writer)
            guard let observed = try await stores.reconcile().observations.first else {
                throw ConformanceFailure(description: "the member was not observed")
            }
            _ = try await stores.beat(writer, at: 0)
            try require(try await stores.store.closeWriter(stores.stream, observed: observed), is: nil)
            try require(try await stores.store.retire(stores.stream, observed: observed), is: false)
            guard let now = try await stores.reconcile().observations.first else {
                throw ConformanceFailure(description: "the member was not observed again")
            }
            try require(try await stores.store.closeWriter(stores.stream, observed: now), is: 2)
            // Its position is another one by now.
            try require(try await stores.store.retire(stores.stream, observed: now), is: false)
            guard let closed = try await stores.reconcile().observations.first else {
                throw ConformanceFailure(description: "the closed member was not observed")
            }
            try require(try await stores.store.retire(stores.stream, observed: closed), is: true)
            try require(try await stores.members(), is: [:])
            try await requireThrows(.retired(stream: stores.stream, writer: writer)) {
                try await stores.persist(stores.events("a"), writer)
            }
        },
        StoreCheck("nobody can be closed or retired who never joined") { stores in
            _ = try await stores.join("p1")
            let unknown = TidemarkError.unknownInstance(stream: stores.stream, instance: "p9")
            try await requireThrows(unknown) {
                _ = try await stores.store.closeWriter(stores.stream, instance: "p9")
            }
            try await requireThrows(unknown) { try await stores.store.retire(stores.stream, instance: "p9") }
        },
        StoreCheck("the store says whether it can write") { stores in
            _ = try await stores.join("p1")
            try await stores.store.checkWritable()
        },
    ]
}
