#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif
import Tidemark

extension ConformanceStores {
    fileprivate func request(
        _ name: ConsumerName = "mailer", filter: EventFilter = .all, from start: ConsumerStart = .beginning,
        confirmed: Watermark? = nil
    ) -> ConsumerRequest {
        var request = ConsumerRequest(stream: stream, consumer: name)
        request.start = start
        request.filter = filter
        request.confirmed = confirmed
        return request
    }

    /// A snapshot as the holder of the claim asks for it.
    fileprivate func snapshot(
        for claim: ConsumerClaim, after position: StreamID? = nil, limit: Int = 1_000,
        furthest: StreamID = StreamID(.max)
    ) async throws -> Snapshot {
        let request = SnapshotRequest(
            delivered: nil, claim: ClaimMark(consumer: claim.name, generation: claim.generation),
            membershipVersion: try await reconcile(limit: 0).membership.version, after: position ?? claim.position,
            through: StreamID(.max), limit: limit, byteLimit: .max, filter: claim.filter, furthest: furthest)
        guard let snapshot = try await store.snapshot(of: stream, request) else {
            throw ConformanceFailure(description: "the stream is not there")
        }
        return snapshot
    }

    fileprivate func status(of name: ConsumerName) async throws -> StreamStatus.ConsumerStatus? {
        try await store.status(of: stream)?.consumers.first { $0.name == name }
    }

    /// Checkpoints at the end of a snapshot that was asked for from the consumer's start.
    fileprivate func checkpoint(_ claim: ConsumerClaim, _ snapshot: Snapshot, at position: StreamID) async throws {
        var sum = claim.delivered
        for event in snapshot.events { sum?.add(event.streamID, mark: event.mark) }
        try await store.checkpoint(
            claim, at: position, snapshot: snapshot.mark, delivered: sum, passed: snapshot.passed)
    }

    /// `a` to `f`, of the types `even` and `odd` in turn, with the keys `x/1`, `x/2`, `y/1`, none, `X/1` and `x/1`.
    fileprivate func persistMixed(_ writer: Writer) async throws {
        let keys: [String?] = ["x/1", "x/2", "y/1", nil, "X/1", "x/1"]
        try await persist(
            zip("abcdef", keys).enumerated().map { index, event in
                Event(id: "\(event.0)", type: index % 2 == 0 ? "even" : "odd", key: event.1)
            }, writer)
    }
}

extension StoreConformance {
    static let consumerStartChecks: [StoreCheck] = [
        // p1 allocates 4, and commits 5 and 6 beside it: finished is all up to 3. A consumer that began at 6 would never be
        // given 4.
        StoreCheck("a consumer begins no higher than everything is finished") { stores in
            let writer = try await stores.join("p1").writer
            try await stores.persist(stores.events("a", "b", "c"), writer)
            let id = try await stores.store.allocate(1, in: stores.stream, for: writer)[0]
            try await stores.persist(stores.events("e", "f"), writer)
            _ = try await stores.beat(writer, at: 3)
            let claim = try await stores.store.claimConsumer(stores.request(from: .end))
            try require(claim.position, is: 3)
            try require(claim.passed?.streamID, is: 3)
            for place in [4, 6, -1] as [StreamID] {
                try await requireThrows(.notReached(stream: stores.stream, id: place, highest: 3)) {
                    _ = try await stores.store.claimConsumer(stores.request("other", from: .after(place)))
                }
            }
            try require(try await stores.status(of: "other") == nil, "a consumer that could not begin is there")
            _ = try await stores.store.persist(stores.events("d")[0], as: id, in: stores.stream, by: writer)
            try require(try await stores.snapshot(for: claim).events.map(\.event.id), is: ["d", "e", "f"])
        },
        StoreCheck("a consumer begins as high as its reader has seen everything finished, with the same members") {
            stores in
            let joined = try await stores.join("p1")
            try await stores.persist(stores.events("a", "b"), joined.writer)
            let version = joined.membership.version
            let confirmed = Watermark(minimum: 2, membershipVersion: version)
            try require(
                try await stores.store.claimConsumer(stores.request("c1", from: .end, confirmed: confirmed)).position,
                is: 2)
            // What was seen of another membership, perhaps in another life of the database, is not gone by.
            let other = Watermark(minimum: 1, membershipVersion: version - 1)
            let durable = try await stores.store.status(of: stores.stream)?.minimumPersisted
            try require(
                try await stores.store.claimConsumer(stores.request("c2", from: .end, confirmed: other)).position,
                is: durable ?? -1)
            // No checkpoint is ever above the sequence.
            let above = Watermark(minimum: 9, membershipVersion: version)
            try require(
                try await stores.store.claimConsumer(stores.request("c3", from: .end, confirmed: above)).position, is: 2
            )
        },
        StoreCheck("a consumer begins where it is told once, when it is made") { stores in
            let writer = try await stores.join("p1").writer
            try await stores.persist(stores.events("a", "b", "c"), writer)
            _ = try await stores.beat(writer, at: 3)
            try require(try await stores.store.claimConsumer(stores.request(from: .after(2))).position, is: 2)
            try require(try await stores.store.claimConsumer(stores.request(from: .beginning)).position, is: 2)
            try require(try await stores.store.claimConsumer(stores.request(from: .after(99))).position, is: 2)
            try require(try await stores.status(of: "mailer")?.start, is: 2)
        },
        StoreCheck("a consumer begins with the first event of a time, and what is after it in the stream") { stores in
            let writer = try await stores.join("p1").writer
            try await stores.persist(stores.events("a", "b"), writer)
            _ = try await stores.beat(writer, at: 2)
            guard let time = try await stores.snapshot().events.last?.persistedAtMilliseconds else {
                throw ConformanceFailure(description: "no event is there")
            }
            func position(_ name: ConsumerName, _ milliseconds: Int64) async throws -> StreamID {
                let start = ConsumerStart.at(.init(timeIntervalSince1970: Double(milliseconds) / 1000))
                let claim = try await stores.store.claimConsumer(stores.request(name, from: start))
                return claim.position
            }
            try require(try await position("before", time - 3_600_000), is: 0)
            try require(try await position("after", time + 3_600_000), is: 2)
        },
        StoreCheck("the audit judges a consumer from where it began, and where it was moved to") { stores in
            let writer = try await stores.join("p1").writer
            try await stores.persist(stores.events("a", "b", "c", "d"), writer)
            _ = try await stores.beat(writer, at: 4)
            for _ in 0..<2 {
                let claim = try await stores.store.claimConsumer(stores.request(from: .after(2)))
                try require(claim.delivered, is: DeliveredSum())
                try await stores.checkpoint(claim, stores.snapshot(for: claim), at: 4)
                let audit = try await stores.store.audit(stores.stream, consumer: "mailer", limit: 10)
                try require(audit.findings, is: [])
                try require(audit.start, is: 2)
                try require(audit.events, is: 2)
                try require(audit.delivered, is: 2)
                _ = try await stores.store.moveConsumer("mailer", in: stores.stream, to: .after(2))
            }
        },
        StoreCheck("a place that was kept elsewhere is known again, and one of another database or life is not") {
            stores in
            let writer = try await stores.join("p1").writer
            try await stores.persist(stores.events("a", "b", "c"), writer)
            _ = try await stores.beat(writer, at: 3)
            let snapshot = try await stores.snapshot()
            try require(snapshot.database.rawValue > 0, "the database has no id")
            try require(
                try await stores.open().snapshot(
                    of: stores.stream,
                    .init(
                        delivered: nil, membershipVersion: 0, after: 0, through: 0, limit: 1, byteLimit: 1))?.database,
                is: snapshot.database)
            let mark = snapshot.events[1].mark
            let place = EventPlace(database: snapshot.database, id: 2, mark: mark)
            try require(try await stores.store.claimConsumer(stores.request(from: .after(place))).position, is: 2)
            let elsewhere = EventPlace(database: DatabaseID(place.database.rawValue ^ 1), id: 2, mark: mark)
            try await requireThrows(.otherDatabase(stream: stores.stream, place: elsewhere)) {
                _ = try await stores.store.claimConsumer(stores.request("other", from: .after(elsewhere)))
            }
            let restored = EventPlace(database: place.database, id: 2, mark: CommitMark(mark.rawValue ^ 1))
            try await requireThrows("it went backwards", where: \.saysWentBackwards) {
                _ = try await stores.store.claimConsumer(stores.request("other", from: .after(restored)))
            }
            try await requireThrows("it went backwards", where: \.saysWentBackwards) {
                _ = try await stores.store.moveConsumer("mailer", in: stores.stream, to: .after(restored))
            }
            try require(try await stores.status(of: "other") == nil, "a consumer that could not begin is there")
            try require(try await stores.status(of: "mailer")?.position, is: 2)
        },
    ]

    static let exactCheckpointChecks: [StoreCheck] = [
        StoreCheck("a checkpoint that says where its batch begins moves on from exactly there") { stores in
            let writer = try await stores.join("p1").writer
            try await stores.persist(stores.events("a", "b", "c"), writer)
            let claim = try await stores.store.claimConsumer("mailer", in: stores.stream)
            let mark = try await stores.snapshot().mark
            func move(from begin: StreamID, to end: StreamID, _ claim: ConsumerClaim) async throws {
                try await stores.store.checkpoint(
                    claim, from: begin, at: end, snapshot: mark, delivered: nil, passed: nil)
            }
            let (stream, store) = (stores.stream, stores.store)
            try await requireThrows(.notYetPassed(stream: stream, consumer: "mailer", begin: 1, checkpoint: 0)) {
                try await move(from: 1, to: 2, claim)
            }
            try await move(from: 0, to: 2, claim)
            // The same batch once more, as after a COMMIT whose answer was lost; and the beginning of it.
            for end in [1, 2, 3] as [StreamID] {
                try await requireThrows(.alreadyPassed(stream: stream, consumer: "mailer", begin: 0, checkpoint: 2)) {
                    try await move(from: 0, to: end, claim)
                }
            }
            try require(try await stores.status(of: "mailer")?.position, is: 2)
            try await move(from: 2, to: 3, claim)
            // Whoever knows the generation, but not the key of the claim, is not the one who has it.
            let guessed = ConsumerClaim(
                stream: stream, name: "mailer", generation: claim.generation, position: 3, key: claim.key ^ 1)
            try await requireThrows(.consumerTaken(stream: stream, consumer: "mailer")) {
                try await move(from: 3, to: 3, guessed)
            }
            let next = try await store.claimConsumer("mailer", in: stream)
            try await requireThrows(.consumerTaken(stream: stream, consumer: "mailer")) {
                try await move(from: 3, to: 3, claim)
            }
            _ = try await store.moveConsumer("mailer", in: stream, to: .beginning)
            try await requireThrows(.consumerTaken(stream: stream, consumer: "mailer")) {
                try await move(from: 0, to: 3, next)
            }
            try require(try await stores.status(of: "mailer")?.position, is: 0)
        }
    ]

    static let filterChecks: [StoreCheck] = [
        StoreCheck("a filter lets types, keys and beginnings of keys pass, byte for byte") { stores in
            let writer = try await stores.join("p1").writer
            try await stores.persistMixed(writer)
            let cases: [(EventFilter, String)] = [
                (.all, "abcdef"), (.types(["even"]), "ace"), (.types(["even", "odd"]), "abcdef"),
                (.types(["Even"]), ""),
                (.types([]), ""), (.keys(["x/1", "y/1"]), "acf"), (.keyPrefix("x/"), "abf"), (.keyPrefix(""), "abcef"),
                (.keyPrefix("x/1/"), ""), (.types(["odd"]).and(.keyPrefix("x/")), "bf"),
                (.types(["even"]).and(.keys(["x/1"])), "a"), (.keyPrefix("%"), ""), (.types(["'\""]), ""),
            ]
            for (index, (filter, expected)) in cases.enumerated() {
                let name = try ConsumerName(validating: "c\(index)")
                let claim = try await stores.store.claimConsumer(stores.request(name, filter: filter))
                try require(claim.filter, is: filter)
                let snapshot = try await stores.snapshot(for: claim)
                try require(snapshot.events.map(\.event.id).joined(), is: expected)
                // Whatever passes, everything was looked at.
                try require(snapshot.passed?.streamID, is: 6)
                try require(snapshot.passed?.eventID, is: "f")
            }
        },
        StoreCheck("keys begin with bytes, and not with letters") { stores in
            let writer = try await stores.join("p1").writer
            let keys = ["e\u{301}1", "\u{e9}1", "\u{1f600}2", "\u{1f600}1"]
            try await stores.persist(keys.enumerated().map { Event(id: "\($0)", type: "t", key: $1) }, writer)
            for (prefix, expected) in [("e", [1]), ("\u{e9}", [2]), ("\u{1f600}", [3, 4])] as [(String, [StreamID])] {
                let name = try ConsumerName(validating: "c\(prefix.utf8.count)")
                let claim = try await stores.store.claimConsumer(stores.request(name, filter: .keyPrefix(prefix)))
                try require(try await stores.snapshot(for: claim).events.map(\.streamID), is: expected)
            }
        },
        StoreCheck("a snapshot with a filter says how far it has looked, as far as its limits let it") { stores in
            let writer = try await stores.join("p1").writer
            try await stores.persistMixed(writer)
            let claim = try await stores.store.claimConsumer(stores.request(filter: .types(["even"])))
            let cut = try await stores.snapshot(for: claim, limit: 2)
            try require(cut.events.map(\.streamID), is: [1, 3])
            try require(cut.isTruncated, is: true)
            try require(cut.passed?.streamID, is: 3)
            let near = try await stores.snapshot(for: claim, after: 1, furthest: 2)
            try require(near.events.isEmpty && !near.isTruncated, "it has looked further than it was to")
            try require(near.passed?.streamID, is: 2)
            try await stores.store.leave(stores.stream, as: writer)
            try require(try await stores.snapshot(for: claim, furthest: 4).events.map(\.streamID), is: [1, 3])
            try require(try await stores.snapshot(for: claim, furthest: 4).passed?.streamID, is: 4)
            try require(try await stores.snapshot(for: claim).passed?.streamID, is: 6)
            try require(try await stores.snapshot(for: claim, after: 6).passed == nil, "nothing was there to pass")
        },
        StoreCheck("another filter is an error until it is changed by name, which stops the reader") { stores in
            let writer = try await stores.join("p1").writer
            try await stores.persistMixed(writer)
            let claim = try await stores.store.claimConsumer(stores.request(filter: .types(["even"])))
            try await stores.checkpoint(claim, stores.snapshot(for: claim), at: 6)
            let differs = TidemarkError.filterDiffers(
                stream: stores.stream, consumer: "mailer", stored: .types(["even"]))
            for filter in [.all, .types(["odd"]), .types(["even"]).and(.keyPrefix(""))] as [EventFilter] {
                try await requireThrows(differs) {
                    _ = try await stores.store.claimConsumer(stores.request(filter: filter))
                }
            }
            // The claim is as good as it was.
            try await stores.store.verify(claim)
            try await stores.store.changeFilter(of: "mailer", in: stores.stream, to: .types(["odd"]))
            try await requireThrows(.consumerTaken(stream: stores.stream, consumer: "mailer")) {
                try await stores.store.verify(claim)
            }
            let next = try await stores.store.claimConsumer(stores.request(filter: .types(["odd"])))
            try require(next.position, is: 6)
            try require(try await stores.store.audit(stores.stream, consumer: "mailer", limit: 9).findings, is: [])
            try require(try await stores.status(of: "mailer")?.filter, is: .types(["odd"]))
            try await requireThrows(
                .unknownConsumer(stream: stores.stream, consumer: "other", known: ["mailer"])
            ) { try await stores.store.changeFilter(of: "other", in: stores.stream, to: .all) }
        },
        StoreCheck("a filter that cannot be kept is refused, and no consumer is made") { stores in
            _ = try await stores.join("p1")
            for filter in [.types((0...1_000).map(String.init)), .keyPrefix("a\0")] as [EventFilter] {
                func isRefusal(_ error: TidemarkError) -> Bool {
                    if case .invalidFilter(stores.stream, "mailer", _) = error { true } else { false }
                }
                try await requireThrows("the filter is invalid", where: isRefusal) {
                    _ = try await stores.store.claimConsumer(stores.request(filter: filter))
                }
                try await requireThrows("the filter is invalid", where: isRefusal) {
                    try await stores.store.changeFilter(of: "mailer", in: stores.stream, to: filter)
                }
            }
            try require(try await stores.status(of: "mailer") == nil, "a consumer is there")
            let most = EventFilter.types((0..<1_000).map { "type \($0)" })
            try require(try await stores.store.claimConsumer(stores.request(filter: most)).filter, is: most)
            try require(try await stores.open().status(of: stores.stream)?.consumers.map(\.filter), is: [most])
        },
        StoreCheck("the audit of a consumer with a filter goes by what passes it") { stores in
            let writer = try await stores.join("p1").writer
            let ids = try await stores.store.allocate(2, in: stores.stream, for: writer)
            try await stores.persistMixed(writer)
            let claim = try await stores.store.claimConsumer(stores.request(filter: .types(["even"])))
            try await stores.checkpoint(claim, stores.snapshot(for: claim), at: 8)
            let before = try await stores.store.audit(stores.stream, consumer: "mailer", limit: 10)
            try require(before.findings, is: [])
            try require(before.events, is: 3)
            // What it would not have been given was not skipped, and what it would have been was.
            _ = try await stores.store.persist(
                Event(id: "late", type: "odd"), as: ids[0], in: stores.stream, by: writer)
            try require(try await stores.store.audit(stores.stream, consumer: "mailer", limit: 10).findings, is: [])
            _ = try await stores.store.persist(
                Event(id: "later", type: "even"), as: ids[1], in: stores.stream, by: writer)
            let after = try await stores.store.audit(stores.stream, consumer: "mailer", limit: 10)
            try require(after.findings.contains { $0.kind == .skipped && $0.id == ids[1] }, "it is not found")
        },
        StoreCheck("a consumer is deleted by name, and not while another process has it") { stores in
            _ = try await stores.join("p1")
            let other = try await stores.open()
            _ = try await other.claimConsumer("mailer", in: stores.stream)
            func isRefusal(_ error: TidemarkError) -> Bool {
                if case .consumerInUse(stores.stream, "mailer", _) = error { true } else { false }
            }
            try await requireThrows("it is in use", where: isRefusal) {
                try await stores.store.deleteConsumer("mailer", in: stores.stream, takingOver: false)
            }
            try await stores.store.deleteConsumer("mailer", in: stores.stream, takingOver: true)
            try require(try await stores.store.status(of: stores.stream)?.consumers.isEmpty, is: true)
            try await requireThrows(.unknownConsumer(stream: stores.stream, consumer: "mailer", known: [])) {
                try await stores.store.deleteConsumer("mailer", in: stores.stream, takingOver: true)
            }
            try require(try await stores.store.claimConsumer(stores.request(from: .end)).position, is: 0)
        },
    ]
}
