import Tidemark

extension StoreConformance {
    static let writingChecks: [StoreCheck] = [
        StoreCheck("a group gets ascending IDs in the order of its events, above everything allocated") { stores in
            let writer = try await stores.join("p1").writer
            let ids = try await stores.store.allocate(3, in: stores.stream, for: writer)
            try require(ids, is: [1, 2, 3])
            let outcomes = try await stores.persist(stores.events("b", "a", "c"), writer)
            let persisted = outcomes.map(\.streamID)
            try require(persisted == persisted.sorted() && Set(persisted).count == 3, "\(persisted) do not ascend")
            try require(persisted.allSatisfy { $0 > 3 }, "\(persisted) are not above what was allocated")
            let found = try await stores.snapshot().events
            try require(found.map(\.streamID), is: persisted)
            try require(found.map(\.event), is: stores.events("b", "a", "c"))
            try require(found.allSatisfy { $0.instance == "p1" }, "another instance is named")
        },
        StoreCheck("an event id that is there already writes nothing, in its own group too") { stores in
            let writer = try await stores.join("p1").writer
            let first = try await stores.persist(stores.events("a", "b", "a"), writer)
            try require(first[2], is: .alreadyPersisted(first[0].streamID))
            let other = try await stores.join("p2").writer
            let second = try await stores.persist(stores.events("b", "c"), other)
            try require(second[0], is: .alreadyPersisted(first[1].streamID))
            try require(try await stores.snapshot().events.map(\.event.id), is: ["a", "b", "c"])
        },
        StoreCheck("metadata is kept with its event, however it was persisted, and beside events that have none") {
            stores in
            let writer = try await stores.join("p1").writer
            let plain = stores.events("a", "c")
            let metadata = ["cause": "\u{e9}\"\\/\n", "empty": "", "content type": "application/json"]
            let rich = Event(id: "b", type: "noted", key: "k", metadata: metadata, payload: [1])
            try await stores.persist([plain[0], rich, plain[1]], writer)
            let id = try await stores.store.allocate(1, in: stores.stream, for: writer)[0]
            let late = Event(id: "d", type: "noted", metadata: ["cause": "b"])
            _ = try await stores.store.persist(late, as: id, in: stores.stream, by: writer)
            let expected = [plain[0], rich, plain[1], late]
            try require(try await stores.snapshot().events.map(\.event), is: expected)
            try require(try await stores.store.event(withID: "b", in: stores.stream)?.event, is: rich)
            let version = try await stores.reconcile().membership.version
            let request = SnapshotRequest(
                delivered: nil, membershipVersion: version, after: 0, through: id, limit: 10, byteLimit: .max)
            let raw = try await stores.store.rawSnapshot(
                of: stores.stream, request, into: [Bool](), accepting: { _ in true }
            ) { found, event in found.append(event.metadata != nil) }
            try require(raw?.result, is: [false, true, false, true])
        },
        StoreCheck("event ids are compared byte for byte") { stores in
            let writer = try await stores.join("p1").writer
            // The same to Swift: one letter, and a letter with its accent.
            let outcomes = try await stores.persist(stores.events("\u{e9}", "e\u{301}"), writer)
            try require(Set(outcomes.map(\.streamID)).count, is: 2)
        },
        StoreCheck("every gap of a group that is answered is told as a tombstone") { stores in
            let writer = try await stores.join("p1").writer
            try await stores.persist(stores.events("b"), writer)
            let group = EventGroup(stores.events("a", "b", "c"), in: stores.stream, by: writer)
            let persisted = try await stores.store.persist(group)
            let rows = persisted.outcomes.map(\.streamID) + persisted.tombstones
            let found = try await stores.reconcile()
            try require(
                found.finished.reduce(0) { $0 + $1.upperBound.rawValue - $1.lowerBound.rawValue + 1 },
                is: Int64(Set(rows).count))
        },
        StoreCheck("a group is refused where the sequence is below what its writer knows") { stores in
            let writer = try await stores.join("p1").writer
            try await requireThrows("it went backwards", where: \.saysWentBackwards) {
                _ = try await stores.store.persist(stores.events("a"), in: stores.stream, by: writer, known: 99)
            }
            try require(try await stores.reconcile().newestCommitted, is: 0)
        },
        StoreCheck("an event goes under an ID that was allocated before, once") { stores in
            let writer = try await stores.join("p1").writer
            let ids = try await stores.store.allocate(2, in: stores.stream, for: writer)
            let event = stores.events("a")[0]
            try require(
                try await stores.store.persist(event, as: ids[1], in: stores.stream, by: writer), is: .persisted(ids[1])
            )
            try require(
                try await stores.store.persist(event, as: ids[1], in: stores.stream, by: writer),
                is: .alreadyPersisted(ids[1]))
            // It is there under another ID: this one gets a tombstone.
            try require(
                try await stores.store.persist(event, as: ids[0], in: stores.stream, by: writer),
                is: .alreadyPersisted(ids[1]))
            try require(try await stores.reconcile().finished, is: [ids[0]...ids[1]])
            try await requireThrows(.closed(stream: stores.stream, instance: "p1", id: ids[0])) {
                _ = try await stores.store.persist(stores.events("b")[0], as: ids[0], in: stores.stream, by: writer)
            }
        },
        StoreCheck("an ID that was never handed out is refused") { stores in
            let writer = try await stores.join("p1").writer
            try await requireThrows("it went backwards", where: \.saysWentBackwards) {
                _ = try await stores.store.persist(stores.events("a")[0], as: 7, in: stores.stream, by: writer)
            }
        },
        StoreCheck("no event takes an ID that was abandoned; one that holds an event is told") { stores in
            let writer = try await stores.join("p1").writer
            let ids = try await stores.store.allocate(3, in: stores.stream, for: writer)
            _ = try await stores.store.persist(stores.events("a")[0], as: ids[1], in: stores.stream, by: writer)
            let answer = try await stores.store.abandon(ids, allocatedIn: nil, in: stores.stream, by: writer)
            try require(answer, is: AbandonedIDs(committed: [ids[1]]))
            try require(try await stores.reconcile().finished, is: [1...3])
            try await requireThrows(.closed(stream: stores.stream, instance: "p1", id: ids[2])) {
                _ = try await stores.store.persist(stores.events("b")[0], as: ids[2], in: stores.stream, by: writer)
            }
            let again = try await stores.store.abandon(ids, allocatedIn: nil, in: stores.stream, by: writer)
            try require(again.committed, is: [ids[1]])
        },
        StoreCheck("a writer whose epoch is over may still give its IDs up") { stores in
            let joined = try await stores.join("p1")
            let ids = try await stores.store.allocate(1, in: stores.stream, for: joined.writer)
            try await stores.store.retire(stores.stream, instance: "p1")
            let answer = try await stores.store.abandon(
                ids, allocatedIn: joined.membership.incarnation, in: stores.stream, by: joined.writer)
            try require(answer, is: AbandonedIDs())
            try require(try await stores.reconcile().finished, is: [1...1])
        },
        StoreCheck("writers of several processes that write at once get different IDs, and lose nothing") { stores in
            var writers: [(store: any EventStore, writer: Writer)] = []
            for name in ["p1", "p2", "p3"] {
                let store = try await stores.open()
                let joined = try await store.join(stores.stream, as: try InstanceName(validating: name))
                writers.append((store, joined.writer))
            }
            let stream = stores.stream
            let ids = try await withThrowingTaskGroup(of: [StreamID].self) { group in
                for (store, writer) in writers {
                    group.addTask {
                        var ids: [StreamID] = []
                        for number in 0..<10 {
                            let events = ["x", "y"].map { Event(id: "\(writer.instance)-\(number)-\($0)", type: "t") }
                            ids += try await store.persist(events, in: stream, by: writer).map(\.streamID)
                        }
                        return ids
                    }
                }
                return try await group.reduce(into: [StreamID]()) { $0 += $1 }
            }
            try require(Set(ids).count, is: 60)
            try require(try await stores.snapshot().events.map(\.streamID), is: ids.sorted())
        },
    ]

    static let unknownOutcomeChecks: [StoreCheck] = [
        StoreCheck("a group that was committed is settled with what it committed") { stores in
            let joined = try await stores.join("p1")
            try await stores.persist(stores.events("old"), joined.writer)
            let group = EventGroup(
                stores.events("a", "old", "b"), in: stores.stream, by: joined.writer, known: 1, fence: joined.fence)
            let persisted = try await stores.store.persist(group)
            let settled = try await stores.store.settle([group])
            try require(settled.groups.map { $0?.outcomes }, is: [persisted.outcomes])
            // Whoever asks again is told the same.
            let again = try await stores.store.settle([group])
            try require(again.groups.map { $0?.outcomes }, is: [persisted.outcomes])
        },
        StoreCheck("a group that was not committed is settled as such, and its writer goes on") { stores in
            let joined = try await stores.join("p1")
            let lost = EventGroup(stores.events("a"), in: stores.stream, by: joined.writer, fence: joined.fence)
            let settled = try await stores.store.settle([lost])
            try require(settled.groups.map { $0 == nil }, is: [true])
            let next = EventGroup(stores.events("a"), in: stores.stream, by: joined.writer, fence: settled.fence)
            try require(try await stores.store.persist(next).outcomes.count, is: 1)
        },
        StoreCheck("a store that raises fences refuses a group that comes after it was settled") { stores in
            let joined = try await stores.join("p1")
            let late = EventGroup(stores.events("a"), in: stores.stream, by: joined.writer, fence: joined.fence)
            let settled = try await stores.store.settle([late])
            guard settled.fence != joined.fence else { return }
            try await requireThrows(
                .fenced(stream: stores.stream, writer: joined.writer, fence: settled.fence)
            ) { _ = try await stores.store.persist(late) }
            try require(try await stores.reconcile().newestCommitted, is: 0)
        },
        StoreCheck("a group of an epoch that is over is settled, too") { stores in
            let joined = try await stores.join("p1")
            let group = EventGroup(stores.events("a"), in: stores.stream, by: joined.writer, fence: joined.fence)
            let persisted = try await stores.store.persist(group)
            let lost = EventGroup(stores.events("b"), in: stores.stream, by: joined.writer, fence: joined.fence)
            _ = try await stores.join("p1")
            let settled = try await stores.store.settle([group, lost])
            try require(settled.groups.map { $0?.outcomes }, is: [persisted.outcomes, nil])
        },
    ]
}
