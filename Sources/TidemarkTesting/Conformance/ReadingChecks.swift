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
        StoreCheck("a snapshot for other members has no events") { stores in
            let writer = try await stores.join("p1").writer
            try await stores.persist(stores.events("a"), writer)
            let snapshot = try await stores.snapshot(versionOffset: -1)
            try require(snapshot.events.isEmpty, "events of a membership that is not asked for")
            try require(snapshot.membership.members.count, is: 1)
        },
        StoreCheck("without members a snapshot goes up to the newest event") { stores in
            let writer = try await stores.join("p1").writer
            try await stores.persist(stores.events("a", "b"), writer)
            try await stores.store.leave(stores.stream, as: writer)
            try require(try await stores.snapshot(through: 0).events.map(\.streamID), is: [1, 2])
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
        StoreCheck("what is committed and what is abandoned above an ID is read as ranges") { stores in
            let writer = try await stores.join("p1").writer
            _ = try await stores.store.allocate(2, in: stores.stream, for: writer)
            try await stores.persist(stores.events("a", "b", "c"), writer)
            _ = try await stores.store.abandon([1], in: stores.stream, by: writer)
            let found = try await stores.reconcile()
            try require(found.finished, is: [1...1, 3...5])
            try require(found.newestCommitted, is: 5)
            try require(found.newest?.streamID, is: 5)
            try require(try await stores.reconcile(above: 3).finished, is: [4...5])
            try require(try await stores.reconcile(limit: 2).finished, is: [1...1, 3...3])
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
        StoreCheck("events that lie in the store are shown in their order") { stores in
            let writer = try await stores.join("p1").writer
            try await stores.persist(stores.events("a", "b"), writer)
            let version = try await stores.reconcile().membership.version
            let request = SnapshotRequest(
                delivered: nil, membershipVersion: version, after: 0, through: 2, limit: 10, byteLimit: .max)
            let raw = try await stores.store.rawSnapshot(
                of: stores.stream, request, into: [StreamID](), accepting: { _ in true }
            ) { ids, event in ids.append(event.streamID) }
            try require(raw?.result, is: [1, 2])
            try require(raw?.delivered.count, is: 2)
            try require(raw?.last?.streamID, is: 2)
        },
    ]

    static let consumerChecks: [StoreCheck] = [
        StoreCheck("the newest claim of a consumer moves its checkpoint, and no other") { stores in
            let writer = try await stores.join("p1").writer
            try await stores.persist(stores.events("a", "b"), writer)
            let first = try await stores.store.claimConsumer("mailer", in: stores.stream)
            try require(first.position, is: 0)
            let snapshot = try await stores.snapshot(claim: ClaimMark(consumer: "mailer", generation: first.generation))
            try require(snapshot.consumerGeneration, is: first.generation)
            try await stores.store.checkpoint(first, at: 2, snapshot: snapshot.mark)
            try await stores.store.checkpoint(first, at: 1, snapshot: snapshot.mark)
            let second = try await stores.store.claimConsumer("mailer", in: stores.stream)
            try require(second.position, is: 2)
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
            try await requireThrows(
                .unknownConsumer(stream: stores.stream, consumer: "other", known: ["mailer"])
            ) { _ = try await stores.store.moveConsumer("other", in: stores.stream, to: .beginning) }
        },
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
    ]
}
