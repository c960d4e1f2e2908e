import Tidemark

extension StoreConformance {
    static let consumerChecks: [StoreCheck] = [
        StoreCheck("the newest claim of a consumer moves its checkpoint, and no other") { stores in
            let writer = try await stores.join("p1").writer
            try await stores.persist(stores.events("a", "b"), writer)
            let first = try await stores.store.claimConsumer("mailer", in: stores.stream)
            try require(first.position, is: 0)
            let snapshot = try await stores.snapshot(claim: ClaimMark(consumer: "mailer", generation: first.generation))
            try require(snapshot.consumerGeneration, is: first.generation)
            let delivered = DeliveredSum(count: 2, sum: .max)
            try await stores.store.checkpoint(first, at: 2, snapshot: snapshot.mark, delivered: delivered)
            try await stores.store.checkpoint(first, at: 1, snapshot: snapshot.mark, delivered: nil)
            let second = try await stores.store.claimConsumer("mailer", in: stores.stream)
            try require(second.position, is: 2)
            try require(second.delivered, is: delivered)
            try require(second.generation > first.generation, "a newer claim is no greater one")
            try require(second.passed?.streamID, is: 2)
            try await stores.store.verify(second)
            let taken = TidemarkError.consumerTaken(stream: stores.stream, consumer: "mailer")
            try await requireThrows(taken) { try await stores.store.verify(first) }
            try await requireThrows(taken) {
                try await stores.store.checkpoint(first, at: 2, snapshot: snapshot.mark)
            }
            let old = try await stores.snapshot(claim: ClaimMark(consumer: "mailer", generation: first.generation))
            try require(old.events.isEmpty, "a snapshot for a claim that is over has events")
        },
        StoreCheck("whoever claims a consumer again with the same key gets the same claim") { stores in
            _ = try await stores.join("p1")
            let first = try await stores.store.claimConsumer("mailer", in: stores.stream, takingOver: true, key: 5)
            let again = try await stores.store.claimConsumer("mailer", in: stores.stream, takingOver: false, key: 5)
            try require(again, is: first)
            let other = try await stores.store.claimConsumer("mailer", in: stores.stream, takingOver: true, key: 6)
            try require(other.generation > first.generation, "another key got the same claim")
        },
        StoreCheck("a checkpoint above the sequence, or past an event that is not there, is refused") { stores in
            let writer = try await stores.join("p1").writer
            try await stores.persist(stores.events("a"), writer)
            let claim = try await stores.store.claimConsumer("mailer", in: stores.stream)
            let mark = try await stores.snapshot().mark
            try await requireThrows("it went backwards", where: \.saysWentBackwards) {
                try await stores.store.checkpoint(claim, at: 9, snapshot: mark)
            }
            let absent = Delivered(streamID: 1, mark: CommitMark(-1))
            try await requireThrows("it went backwards", where: \.saysWentBackwards) {
                try await stores.store.checkpoint(claim, at: 1, snapshot: mark, delivered: nil, passed: absent)
            }
        },
        StoreCheck("a consumer is moved by hand as far as everything is finished, and its reader is stopped") {
            stores in
            let writer = try await stores.join("p1").writer
            try await stores.persist(stores.events("a", "b"), writer)
            _ = try await stores.beat(writer, at: 2)
            let claim = try await stores.store.claimConsumer("mailer", in: stores.stream)
            try require(try await stores.store.moveConsumer("mailer", in: stores.stream, to: .end), is: 2)
            try await requireThrows(.consumerTaken(stream: stores.stream, consumer: "mailer")) {
                try await stores.store.verify(claim)
            }
            try await requireThrows(.notReached(stream: stores.stream, id: 3, highest: 2)) {
                _ = try await stores.store.moveConsumer("mailer", in: stores.stream, to: .after(3))
            }
            try require(try await stores.store.moveConsumer("mailer", in: stores.stream, to: .after(1)), is: 1)
            try require(
                try await stores.store.claimConsumer("mailer", in: stores.stream).passed?.streamID, is: 1)
            try require(try await stores.store.audit(stores.stream, consumer: "mailer", limit: 1).findings, is: [])
            try require(try await stores.store.moveConsumer("mailer", in: stores.stream, to: .beginning), is: 0)
            try require(
                try await stores.store.claimConsumer("mailer", in: stores.stream).delivered, is: DeliveredSum())
            try await requireThrows(
                .unknownConsumer(stream: stores.stream, consumer: "other", known: ["mailer"])
            ) { _ = try await stores.store.moveConsumer("other", in: stores.stream, to: .beginning) }
            try await requireThrows("there is no such stream", where: \.isUnknownStream) {
                _ = try await stores.store.moveConsumer("mailer", in: "other", to: .beginning)
            }
        },
        StoreCheck("a consumer of a stream that nobody has joined makes it, and is given what is persisted later") {
            stores in
            let claim = try await stores.store.claimConsumer("mailer", in: stores.stream)
            try require(claim.position, is: 0)
            try require(claim.delivered, is: DeliveredSum())
            try require(try await stores.store.status(of: stores.stream)?.consumers.map(\.name), is: ["mailer"])
            let writer = try await stores.join("p1").writer
            try await stores.persist(stores.events("a"), writer)
            let mark = ClaimMark(consumer: "mailer", generation: claim.generation)
            try require(try await stores.snapshot(claim: mark).events.map(\.event.id), is: ["a"])
        },
        StoreCheck("a consumer that another process has is left alone unless it is to be taken over") { stores in
            let other = try await stores.open()
            let claim = try await stores.store.claimConsumer("mailer", in: stores.stream)
            func isRefusal(_ error: TidemarkError) -> Bool {
                if case .consumerInUse(stores.stream, "mailer", _) = error { true } else { false }
            }
            try await requireThrows("it is in use", where: isRefusal) {
                _ = try await other.claimConsumer("mailer", in: stores.stream, takingOver: false)
            }
            try await stores.store.verify(claim)
            try require(try await other.status(of: stores.stream)?.consumers.map(\.isInUse), is: [true])
            _ = try await other.claimConsumer("mailer", in: stores.stream, takingOver: true)
            try await requireThrows(.consumerTaken(stream: stores.stream, consumer: "mailer")) {
                try await stores.store.verify(claim)
            }
        },
        StoreCheck("a consumer is taken from the one claim that may be replaced, and from no other") { stores in
            let first = try await stores.store.claimConsumer("mailer", in: stores.stream)
            var request = ConsumerRequest(stream: stores.stream, consumer: "mailer")
            request.takingOver = false
            request.replacing = first.generation
            let second = try await stores.store.claimConsumer(request)
            try await requireThrows(.consumerTaken(stream: stores.stream, consumer: "mailer")) {
                try await stores.store.verify(first)
            }
            func isRefusal(_ error: TidemarkError) -> Bool {
                if case .consumerInUse(stores.stream, "mailer", _) = error { true } else { false }
            }
            request.key += 1
            try await requireThrows("another one has it by now", where: isRefusal) {
                _ = try await stores.store.claimConsumer(request)
            }
            try await stores.store.verify(second)
        },
        StoreCheck("where a consumer is can be asked, and that of one that is not there") { stores in
            let writer = try await stores.join("p1").writer
            try await stores.persist(stores.events("a", "b"), writer)
            let claim = try await stores.store.claimConsumer("mailer", in: stores.stream)
            try await stores.store.checkpoint(claim, at: 1, snapshot: try await stores.snapshot().mark)
            let found = try await stores.open().position(of: "mailer", in: stores.stream, passing: 2)
            try require(found?.position, is: 1)
            try require(found?.isParked, is: false)
            let other = try await stores.store.position(of: "other", in: stores.stream, passing: 2)
            try require(other == nil, "a consumer that is not there has a place")
            let elsewhere = try await stores.store.position(of: "mailer", in: "other", passing: 2)
            try require(elsewhere == nil, "a consumer of a stream that is not there has a place")
        },
    ]

    static let auditChecks: [StoreCheck] = [
        StoreCheck("the audit calls a past complete that was, and finds what came after the checkpoint") { stores in
            let writer = try await stores.join("p1").writer
            let ids = try await stores.store.allocate(1, in: stores.stream, for: writer)
            try await stores.persist(stores.events("a", "b"), writer)
            let claim = try await stores.store.claimConsumer("mailer", in: stores.stream)
            let snapshot = try await stores.snapshot()
            var sum = DeliveredSum()
            for event in snapshot.events { sum.add(event.streamID, mark: event.mark) }
            try await stores.store.checkpoint(
                claim, at: 3, snapshot: snapshot.mark, delivered: sum, passed: snapshot.last)
            let before = try await stores.store.audit(stores.stream, consumer: "mailer", limit: 10)
            try require(before.findings, is: [])
            try require(before.events, is: 2)
            // A reader that did not wait for the ID in flight has skipped it.
            _ = try await stores.store.persist(stores.events("c")[0], as: ids[0], in: stores.stream, by: writer)
            let after = try await stores.store.audit(stores.stream, consumer: "mailer", limit: 10)
            try require(after.isComplete, is: false)
            try require(
                after.findings.contains { $0.kind == .skipped && $0.id == ids[0] }, "the skipped event is not named")
        },
        //  reader                    p1
        //  snapshot: 2 and 3
        //                            commits 1, which it had in flight
        //  checkpoint at 3, of that snapshot
        StoreCheck("what is committed between a batch's snapshot and its checkpoint is found too") { stores in
            let writer = try await stores.join("p1").writer
            let id = try await stores.store.allocate(1, in: stores.stream, for: writer)[0]
            try await stores.persist(stores.events("a", "b"), writer)
            let claim = try await stores.store.claimConsumer("mailer", in: stores.stream)
            let snapshot = try await stores.snapshot()
            _ = try await stores.store.persist(stores.events("c")[0], as: id, in: stores.stream, by: writer)
            var sum = DeliveredSum()
            for event in snapshot.events { sum.add(event.streamID, mark: event.mark) }
            try await stores.store.checkpoint(
                claim, at: 3, snapshot: snapshot.mark, delivered: sum, passed: snapshot.last)
            let audit = try await stores.store.audit(stores.stream, consumer: "mailer", limit: 10)
            try require(audit.findings.contains { $0.kind == .skipped && $0.id == id }, "\(audit.findings)")
        },
        StoreCheck("two batches with one checkpoint count both, and what came later counts not at all") { stores in
            let writer = try await stores.join("p1").writer
            let claim = try await stores.store.claimConsumer("mailer", in: stores.stream)
            var sum = DeliveredSum()
            var position: StreamID = 0
            var last: Snapshot?
            for id in ["a", "b"] {
                try await stores.persist(stores.events(id), writer)
                let snapshot = try await stores.snapshot(after: position)
                for event in snapshot.events { sum.add(event.streamID, mark: event.mark) }
                position = snapshot.events.last?.streamID ?? position
                last = snapshot
            }
            try await stores.persist(stores.events("c"), writer)
            guard let last else { return }
            try await stores.store.checkpoint(
                claim, at: position, snapshot: last.mark, delivered: sum, passed: last.last)
            let audit = try await stores.store.audit(stores.stream, consumer: "mailer", limit: 10)
            try require(audit.findings, is: [])
            try require(audit.events, is: 2)
            try require(audit.delivered, is: 2)
            try require(audit.position, is: 2)
        },
        StoreCheck("as many events as were delivered, but others, are no complete past") { stores in
            let writer = try await stores.join("p1").writer
            try await stores.persist(stores.events("a", "b"), writer)
            let claim = try await stores.store.claimConsumer("mailer", in: stores.stream)
            let snapshot = try await stores.snapshot()
            var sum = DeliveredSum()
            for event in snapshot.events { sum.add(event.streamID, mark: CommitMark(event.mark.rawValue ^ 1)) }
            try await stores.store.checkpoint(
                claim, at: 2, snapshot: snapshot.mark, delivered: sum, passed: snapshot.last)
            let audit = try await stores.store.audit(stores.stream, consumer: "mailer", limit: 10)
            try require(audit.findings.map(\.kind), is: [.deliveredDiffers])
        },
        StoreCheck("a checkpoint that does not say what was delivered leaves that unknown, and is no finding") {
            stores in
            let writer = try await stores.join("p1").writer
            try await stores.persist(stores.events("a", "b"), writer)
            let claim = try await stores.store.claimConsumer("mailer", in: stores.stream)
            try await stores.store.checkpoint(claim, at: 2, snapshot: try await stores.snapshot().mark)
            let audit = try await stores.store.audit(stores.stream, consumer: "mailer", limit: 10)
            try require(audit.delivered, is: nil)
            try require(audit.findings, is: [])
        },
        StoreCheck("findings of an audit beyond the limit are counted") { stores in
            let writer = try await stores.join("p1").writer
            let ids = try await stores.store.allocate(5, in: stores.stream, for: writer)
            try await stores.persist(stores.events("last"), writer)
            let claim = try await stores.store.claimConsumer("mailer", in: stores.stream)
            try await stores.store.checkpoint(claim, at: 6, snapshot: try await stores.snapshot().mark)
            for id in ids {
                _ = try await stores.store.persist(
                    stores.events("late \(id)")[0], as: id, in: stores.stream, by: writer)
            }
            let audit = try await stores.store.audit(stores.stream, consumer: "mailer", limit: 2)
            try require(audit.findings.map(\.id), is: [1, 2])
            try require(audit.findings.map(\.kind), is: [.skipped, .skipped])
            try require(audit.findingCount, is: 5)
            try require(audit.isComplete, is: false)
        },
        StoreCheck("an audit of an unknown consumer names those that there are") { stores in
            for name in ["mails", "letters"] as [ConsumerName] {
                _ = try await stores.store.claimConsumer(name, in: stores.stream)
            }
            try await requireThrows(
                .unknownConsumer(stream: stores.stream, consumer: "post", known: ["letters", "mails"])
            ) { _ = try await stores.store.audit(stores.stream, consumer: "post", limit: 1) }
            try await requireThrows("there is no such stream", where: \.isUnknownStream) {
                _ = try await stores.store.audit("other", consumer: "mails", limit: 1)
            }
        },
    ]
}
