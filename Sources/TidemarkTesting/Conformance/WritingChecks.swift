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
        StoreCheck("an ID that was never handed out gets no tombstone, and none of its call does") { stores in
            let writer = try await stores.join("p1").writer
            let ids = try await stores.store.allocate(1, in: stores.stream, for: writer)
            func isAbove(_ error: TidemarkError) -> Bool {
                if case .databaseWentBackwards(stores.stream, 2, _) = error { true } else { false }
            }
            try await requireThrows("it went backwards, at 2", where: isAbove) {
                _ = try await stores.store.abandon(ids + [2], in: stores.stream, by: writer)
            }
            try require(try await stores.reconcile().finished, is: [])
        },
        StoreCheck("very many IDs are abandoned in one call") { stores in
            let writer = try await stores.join("p1").writer
            let ids = try await stores.store.allocate(20_000, in: stores.stream, for: writer)
            try require(try await stores.store.abandon(ids, in: stores.stream, by: writer), is: [])
            try require(try await stores.reconcile(limit: 100_000).finished, is: [1...20_000])
        },
        StoreCheck("what an event says is read as it was written, byte for byte") { stores in
            let writer = try await stores.join("p1").writer
            // The types of the last two are the same to Swift.
            let group = [
                Event(id: "a", type: "opened", key: "account-1", payload: [0, 255, 10]),
                Event(id: "b", type: "opened", key: nil, payload: []),
                Event(id: "c", type: "gel\u{f6}scht \u{1f5d1}", key: "", payload: Array("zweitausend".utf8)),
                Event(id: "d", type: "caf\u{e9}", key: "caf\u{e9}"),
                Event(id: "e", type: "cafe\u{301}", key: "cafe\u{301}"),
            ]
            try require(try await stores.persist(group, writer), is: (1...5).map { .persisted(StreamID($0)) })
            let read = try await stores.snapshot().events
            try require(read.map(\.event), is: group)
            try require(read.map { Array($0.event.type.utf8) }, is: group.map { Array($0.type.utf8) })
            try require(
                read.map { $0.event.key.map { Array($0.utf8) } }, is: group.map { $0.key.map { Array($0.utf8) } })
            try require(read.allSatisfy { $0.persistedAtMilliseconds > 0 }, "an event was persisted at no time")
            for event in read {
                try require(try await stores.store.event(withID: event.event.id, in: stores.stream), is: event)
            }
        },
        StoreCheck("an ID of a scope is committed late, below newer ones, with a mark of its own") { stores in
            let writer = try await stores.join("p1").writer
            let ids = try await stores.store.allocate(2, in: stores.stream, for: writer)
            try require(try await stores.persist(stores.events("c"), writer), is: [.persisted(3)])
            try require(try await stores.reconcile().finished, is: [3...3])
            _ = try await stores.store.persist(stores.events("a")[0], as: ids[0], in: stores.stream, by: writer)
            let read = try await stores.snapshot().events
            try require(read.map(\.streamID), is: [1, 3])
            try require(Set(read.map(\.mark)).count, is: 2)
            try require(try await stores.reconcile().finished, is: [1...1, 3...3])
        },
        StoreCheck(
            "who persists again under the ID that holds the event finds it there, however far the writer was closed"
        ) {
            stores in
            let writer = try await stores.join("p1").writer
            let id = try await stores.store.allocate(1, in: stores.stream, for: writer)[0]
            _ = try await stores.store.persist(stores.events("a")[0], as: id, in: stores.stream, by: writer)
            _ = try await stores.store.closeWriter(stores.stream, instance: "p1")
            try require(
                try await stores.store.persist(stores.events("a")[0], as: id, in: stores.stream, by: writer),
                is: .alreadyPersisted(id))
            try await requireThrows(.closed(stream: stores.stream, instance: "p1", id: id)) {
                _ = try await stores.store.persist(stores.events("b")[0], as: id, in: stores.stream, by: writer)
            }
        },
        // What waits may be taken back; what has begun cannot.
        StoreCheck("a task that was cancelled learns what became of its write") { stores in
            let writer = try await stores.join("p1").writer
            let task = Task {
                withUnsafeCurrentTask { $0?.cancel() }
                return try await stores.persist(stores.events("a"), writer)
            }
            let outcome = await task.result
            let isThere = try await stores.store.event(withID: "a", in: stores.stream) != nil
            switch outcome {
            case .success(let outcomes): try require(outcomes == [.persisted(1)] && isThere, "it is not there")
            case .failure(let error as CancellationError): try require(!isThere, "it is there in spite of \(error)")
            case .failure(let error): throw error
            }
        },
    ]

    static let racingChecks: [StoreCheck] = [
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
        StoreCheck("of two writers that race with one event the loser's ID gets a tombstone") { stores in
            let other = try await stores.open()
            let (one, two) = (
                try await stores.join("p1").writer, try await other.join(stores.stream, as: "p2").writer
            )
            for number in 0..<20 {
                let event = stores.events("\(number)")[0]
                let first = try await stores.store.allocate(1, in: stores.stream, for: one)[0]
                let second = try await other.allocate(1, in: stores.stream, for: two)[0]
                async let a = stores.store.persist(event, as: first, in: stores.stream, by: one)
                async let b = other.persist(event, as: second, in: stores.stream, by: two)
                let outcomes = try await [a, b]
                let winner = outcomes[0].streamID
                try require(Set(outcomes), is: [.persisted(winner), .alreadyPersisted(winner)])
            }
            try require(try await stores.snapshot().events.count, is: 20)
            try require(try await stores.reconcile().finished, is: [1...40])
        },
        StoreCheck("groups of several processes with the same events, in opposite orders, leave each one once") {
            stores in
            let stream = stores.stream
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<4 {
                    let store = try await stores.open()
                    let name = try InstanceName(validating: "p\(number)")
                    let writer = try await store.join(stream, as: name).writer
                    group.addTask {
                        for round in 0..<10 {
                            var events = (0..<10).map { Event(id: "\(round)-\($0)", type: "t") }
                            if number % 2 == 1 { events.reverse() }
                            _ = try await store.persist(events, in: stream, by: writer)
                            _ = try await store.heartbeat([Heartbeat(stream: stream, writer: writer, position: 0)])
                        }
                    }
                }
                try await group.waitForAll()
            }
            let read = try await stores.snapshot().events
            try require(read.count, is: 100)
            try require(Set(read.map(\.event.id)).count, is: 100)
            let found = try await stores.reconcile()
            try require(found.finished, is: [1...found.newestCommitted])
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
        // A store whose sequence never goes back has one incarnation, and nothing is void there.
        StoreCheck("an ID of another incarnation gets no tombstone where it is said to be void, and one otherwise") {
            stores in
            let joined = try await stores.join("p1")
            let id = try await stores.store.allocate(1, in: stores.stream, for: joined.writer)[0]
            let other = Incarnation(joined.membership.incarnation.rawValue ^ 1)
            let answer = try await stores.store.abandon(
                [id], allocatedIn: other, in: stores.stream, by: joined.writer)
            try require(answer.committed, is: [])
            let finished = try await stores.reconcile().finished
            func persist() async throws -> PersistOutcome {
                try await stores.store.persist(
                    stores.events("a")[0], as: id, in: stores.stream, by: joined.writer)
            }
            if answer.void.isEmpty {
                try require(finished, is: [id...id])
                try await requireThrows(.closed(stream: stores.stream, instance: "p1", id: id)) {
                    _ = try await persist()
                }
            } else {
                try require(answer.void, is: [id])
                try require(finished, is: [])
                // It is of this one: it may be committed still.
                try require(try await persist(), is: .persisted(id))
            }
        },
    ]
}
