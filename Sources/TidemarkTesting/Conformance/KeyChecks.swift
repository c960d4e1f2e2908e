import Tidemark

extension StoreConformance {
    static let keyChecks: [StoreCheck] = [
        keyCheck("the events of a key are found in their order, and those of no other key, byte for byte") { stores in
            let (store, writer) = try await stores.indexed()
            let group = [
                stores.event("a1", of: "a"), stores.event("b1", of: "b"), stores.event("n1", of: nil),
                stores.event("a2", of: "a"), stores.event("e1", of: "\u{e9}"), stores.event("e2", of: "e\u{301}"),
                stores.event("empty", of: ""),
            ]
            let ids = try await stores.persist(group, writer).map(\.streamID)
            try require(try await stores.events(store, of: "a").map(\.streamID), is: [ids[0], ids[3]])
            try require(try await stores.events(store, of: "a").map(\.event), is: [group[0], group[3]])
            try require(try await stores.events(store, of: "a", after: ids[0]).map(\.event.id), is: ["a2"])
            try require(try await stores.events(store, of: "\u{e9}").map(\.event.id), is: ["e1"])
            try require(try await stores.events(store, of: "").map(\.event.id), is: ["empty"])
            try require(try await stores.events(store, of: "c").isEmpty, "another key has events")
        },
        keyCheck("a page of a key's events has a bound of events and of bytes, and at least one event") { stores in
            let (store, writer) = try await stores.indexed()
            let group = (1...5).map {
                Event(id: "\($0)", type: "noted", key: "k", payload: [UInt8](repeating: 7, count: 10))
            }
            try await stores.persist(group, writer)
            try require(try await stores.events(store, of: "k", limit: 2).map(\.event.id), is: ["1", "2"])
            try require(try await stores.events(store, of: "k", bytes: 15).map(\.event.id), is: ["1", "2"])
            try require(try await stores.events(store, of: "k", bytes: 1).map(\.event.id), is: ["1"])
        },
        keyCheck(
            "a stream without an index says so, and refuses a condition alone, and one that is not there is unknown"
        ) {
            stores in
            let store = try stores.keyed()
            try await requireThrows("there is no such stream", where: \.isUnknownStream) {
                _ = try await stores.events(store, of: "k")
            }
            try require(try await store.keyIndex(of: stores.stream), is: nil)
            let writer = try await stores.join("p1").writer
            try await stores.persist(stores.events("old"), writer)
            try require(try await store.makeKeyIndex(of: stores.stream), is: .missing)
            let missing = TidemarkError.noKeyIndex(stream: stores.stream, store: "\(store)", isBuilding: false)
            try await requireThrows(missing) { _ = try await stores.events(store, of: "k") }
            let found = try await stores.persist(
                [
                    (stores.events("a"), nil), (stores.events("b"), KeyCondition(key: "k", expected: 1)),
                    (stores.events("c"), nil),
                ],
                writer)
            try require(found.refusals, is: [1: .failed(missing)])
            try require(try await stores.snapshot().events.map(\.event.id), is: ["old", "a", "c"])
        },
        keyCheck("an index is built in steps beside writers, and is whole where it is complete") { stores in
            let store = try stores.keyed()
            let writer = try await stores.join("p1").writer
            let late = try await store.allocate(2, in: stores.stream, for: writer)
            try await stores.persist((1...7).map { stores.event("old\($0)", of: "k") }, writer)
            guard case .building = try await store.buildKeyIndex(of: stores.stream, limit: 3) else {
                throw ConformanceFailure(description: "it has begun, and is not building")
            }
            let building = TidemarkError.noKeyIndex(stream: stores.stream, store: "\(store)", isBuilding: true)
            try await requireThrows(building) { _ = try await stores.events(store, of: "k") }
            let refused = try await stores.persist(
                [(stores.events("no"), KeyCondition(key: "k", expected: nil))], writer)
            try require(refused.refusals, is: [0: .failed(building)])
            try await stores.persist([stores.event("new", of: "k")], writer)
            // Below what is built, and above it.
            _ = try await store.persist(stores.event("late", of: "k"), as: late[1], in: stores.stream, by: writer)
            // Somebody else takes it up.
            let other = try await stores.open()
            guard let other = other as? any KeyIndexStore else {
                throw ConformanceFailure(description: "the other store keeps no index")
            }
            var steps = 0
            while try await other.buildKeyIndex(of: stores.stream, limit: 3) != .complete {
                steps += 1
                try require(steps < 10, "the index is never complete")
            }
            try require(try await store.keyIndex(of: stores.stream), is: .complete)
            try require(
                try await stores.events(store, of: "k").map(\.event.id),
                is: ["late"] + (1...7).map { "old\($0)" } + ["new"])
            try require(try await store.buildKeyIndex(of: stores.stream, limit: 1), is: .complete)
        },
        keyCheck("a call is persisted only if the newest event of its key is the one expected") { stores in
            let (store, writer) = try await stores.indexed()
            let first = try await stores.persist(
                [([stores.event("1", of: "k")], KeyCondition(key: "k", expected: nil))], writer)
            let one = first.outcomes[0].streamID
            try await stores.persist([stores.event("x", of: "other")], writer)
            for expected in [nil, StreamID(one.rawValue + 1)] {
                let refused = try await stores.persist(
                    [([stores.event("2", of: "k")], KeyCondition(key: "k", expected: expected))], writer)
                try require(
                    refused,
                    is: PersistedGroup(
                        outcomes: [], refusals: [0: .failed(.conflict(key: "k", expected: expected, found: one))]))
            }
            let none = try await stores.persist(
                [([stores.event("3", of: "l")], KeyCondition(key: "l", expected: one))], writer)
            try require(none.refusals, is: [0: .failed(.conflict(key: "l", expected: one, found: nil))])
            let second = try await stores.persist(
                [([stores.event("2", of: "k"), stores.event("3", of: "k")], KeyCondition(key: "k", expected: one))],
                writer)
            try require(second.refusals.isEmpty && second.outcomes.count == 2, "\(second)")
            try require(try await stores.events(store, of: "k").map(\.event.id), is: ["1", "2", "3"])
            try require(try await stores.events(store, of: "l").isEmpty, "a call that was refused is there")
        },
        keyCheck("an event that is there already is no new one of its key") { stores in
            let (store, writer) = try await stores.indexed()
            let a = try await stores.persist([stores.event("a", of: "k")], writer)[0].streamID
            // By itself, and beside one that is new.
            try require(try await stores.persist([stores.event("a", of: "k")], writer), is: [.alreadyPersisted(a)])
            let both = try await stores.persist([stores.event("a", of: "k"), stores.event("b", of: "l")], writer)
            try require(both[0], is: .alreadyPersisted(a))
            let next = try await stores.persist(
                [([stores.event("c", of: "k")], KeyCondition(key: "k", expected: a))], writer)
            try require(next.refusals, is: [:])
            try require(try await stores.events(store, of: "k").map(\.event.id), is: ["a", "c"])
            // Twice in one call, before another one: what is found is the one that is there.
            let twice = try await stores.persist(
                [
                    ([stores.event("d", of: "k"), stores.event("d", of: "k")], nil),
                    ([stores.event("e", of: "k")], KeyCondition(key: "k", expected: next.outcomes[0].streamID)),
                ], writer)
            let newest = try await stores.events(store, of: "k").last
            try require(newest?.event.id, is: "d")
            try require(
                twice.refusals,
                is: [
                    1: .failed(
                        .conflict(key: "k", expected: next.outcomes[0].streamID, found: newest?.streamID))
                ])
        },
        keyCheck(
            "calls of a group are judged in their order, each seeing the earlier ones, and one conflict fails one call"
        ) {
            stores in
            let (store, writer) = try await stores.indexed()
            let one = try await stores.persist([stores.event("1", of: "k")], writer)[0].streamID
            let group = try await stores.persist(
                [
                    ([stores.event("a", of: "k")], KeyCondition(key: "k", expected: one)),
                    // Decided on the same event: the one before was faster.
                    ([stores.event("b", of: "k")], KeyCondition(key: "k", expected: one)),
                    ([stores.event("c", of: "k")], nil),
                    ([stores.event("d", of: "l")], KeyCondition(key: "l", expected: nil)),
                ], writer)
            let found = group.outcomes.map(\.streamID)
            try require(group.refusals, is: [1: .failed(.conflict(key: "k", expected: one, found: found.first))])
            try require(try await stores.events(store, of: "k").map(\.event.id), is: ["1", "a", "c"])
            try require(found == found.sorted() && found.count == 3, "\(found)")
        },
        keyCheck("a call that is made again gets its IDs, and does not conflict with itself") { stores in
            let (store, writer) = try await stores.indexed()
            let events = ["1", "2"].map { stores.event($0, of: "k") }
            let condition = KeyCondition(key: "k", expected: nil)
            let first = try await stores.persist([(events, condition)], writer)
            try await stores.persist([stores.event("3", of: "k")], writer)
            let again = try await stores.persist([(events, condition)], writer)
            try require(again.outcomes, is: first.outcomes.map { .alreadyPersisted($0.streamID) })
            try require(again.refusals.isEmpty, "it conflicts with itself")
            try require(try await stores.events(store, of: "k").count, is: 3)
        },
        keyCheck(
            "a call of which some events are there is an error, and so is one whose event is there under another key"
        ) {
            stores in
            let (store, writer) = try await stores.indexed()
            try await stores.persist([stores.event("1", of: "k"), stores.event("x", of: "other")], writer)
            let half = try await stores.persist(
                [([stores.event("1", of: "k"), stores.event("2", of: "k")], KeyCondition(key: "k", expected: nil))],
                writer)
            try require(half.outcomes.isEmpty && half.refusals[0]?.isInvalid(event: "1") == true, "\(half)")
            let other = try await stores.persist(
                [([stores.event("x", of: "k")], KeyCondition(key: "k", expected: nil))], writer)
            try require(other.outcomes.isEmpty && other.refusals[0]?.isInvalid(event: "x") == true, "\(other)")
            try require(try await stores.events(store, of: "k").map(\.event.id), is: ["1"])
        },
        keyCheck("an event commits only above the newest of its key: otherwise its ID gets a tombstone") { stores in
            let (store, writer) = try await stores.indexed()
            let ids = try await store.allocate(3, in: stores.stream, for: writer)
            let newest = try await stores.persist([stores.event("1", of: "k")], writer)[0].streamID
            try await requireThrows(.keyPassed(stream: stores.stream, key: "k", id: ids[0], newest: newest)) {
                _ = try await store.persist(stores.event("late", of: "k"), as: ids[0], in: stores.stream, by: writer)
            }
            try await requireThrows(.closed(stream: stores.stream, instance: "p1", id: ids[0])) {
                _ = try await store.persist(stores.event("other", of: "l"), as: ids[0], in: stores.stream, by: writer)
            }
            // Another key has no newer one, and no key none.
            for (id, key) in [(ids[1], "l"), (ids[2], nil)] {
                let outcome = try await store.persist(
                    stores.event("at\(id)", of: key), as: id, in: stores.stream, by: writer)
                try require(outcome, is: .persisted(id))
            }
            try require(try await stores.reconcile().finished, is: [ids[0]...newest])
            try require(try await stores.events(store, of: "k").map(\.event.id), is: ["1"])
        },
        keyCheck("of processes that decide on the same event, one is persisted") { stores in
            let (store, first) = try await stores.indexed()
            var writers: [(store: any EventStore, writer: Writer)] = [(store, first)]
            for name in ["p2", "p3", "p4"] {
                let store = try await stores.open()
                writers.append(
                    (store, try await store.join(stores.stream, as: try InstanceName(validating: name)).writer))
            }
            let stream = stores.stream
            var newest: StreamID?
            for round in 0..<10 {
                let expected = newest
                let found = try await withThrowingTaskGroup(of: PersistedGroup.self) { tasks in
                    for (store, writer) in writers {
                        tasks.addTask {
                            let event = Event(id: "\(round)-\(writer.instance)", type: "noted", key: "k")
                            let call = EventGroup.Call(events: 1, condition: KeyCondition(key: "k", expected: expected))
                            return try await store.persist(EventGroup([event], in: stream, by: writer, calls: [call]))
                        }
                    }
                    return try await tasks.reduce(into: [PersistedGroup]()) { $0.append($1) }
                }
                let persisted = found.flatMap { $0.outcomes.map(\.streamID) }
                try require(persisted.count, is: 1)
                newest = persisted[0]
                let conflict = CallRefusal.failed(.conflict(key: "k", expected: expected, found: newest))
                try require(found.flatMap(\.refusals.values), is: [conflict, conflict, conflict])
            }
            try require(try await stores.events(store, of: "k").count, is: 10)
        },
        keyCheck(
            "what was pruned of a key counts for conditions, is no event of an index that is built later, and is told"
        ) {
            stores in
            let store = try stores.keyed()
            // A store need not prune.
            guard let prunable = store as? any PrunableStore else { return }
            for hasIndex in [true, false] {
                let stores = ConformanceStores(
                    store: stores.store, fixture: stores.fixture, stream: hasIndex ? "indexed" : "plain")
                if hasIndex { try require(try await store.makeKeyIndex(of: stores.stream), is: .complete) }
                let writer = try await stores.join("p1").writer
                let ids = try await stores.persist(
                    [stores.event("1", of: "gone"), stores.event("2", of: "k"), stores.event("3", of: "k")], writer
                ).map(\.streamID)
                _ = try await stores.beat(writer, at: ids[2])
                _ = try await prunable.prune(stores.stream, .through(ids[1]))
                try await store.completeKeyIndex(of: stores.stream, rows: 1)
                try await requireThrows(.pruned(stream: stores.stream, after: 0, through: ids[1])) {
                    _ = try await stores.events(store, of: "k")
                }
                try require(try await stores.events(store, of: "k", after: ids[1]).map(\.event.id), is: ["3"])
                let refused = try await stores.persist(
                    [([stores.event("4", of: "gone")], KeyCondition(key: "gone", expected: nil))], writer)
                try require(
                    refused.refusals, is: [0: .failed(.conflict(key: "gone", expected: nil, found: ids[0]))])
                let next = try await stores.persist(
                    [([stores.event("4", of: "gone")], KeyCondition(key: "gone", expected: ids[0]))], writer)
                try require(next.refusals.isEmpty, "\(next)")
                // The same call again, whose events were pruned meanwhile, is known by their ids.
                let again = try await stores.persist(
                    [([stores.event("1", of: "gone")], KeyCondition(key: "gone", expected: nil))], writer)
                try require(again.outcomes, is: [.alreadyPersisted(ids[0])])
            }
        },
        keyCheck("a group with calls that were refused is settled as one to be tried again, which writes nothing twice")
        {
            stores in
            let (store, writer) = try await stores.indexed()
            let calls = [EventGroup.Call(events: 1), .init(events: 1, condition: KeyCondition(key: "k", expected: 99))]
            let events = [stores.event("a", of: "k"), stores.event("b", of: "k")]
            let group = EventGroup(events, in: stores.stream, by: writer, calls: calls)
            let persisted = try await store.persist(group)
            let id = persisted.outcomes[0].streamID
            let settled = try await store.settle([group])
            try require(settled.groups.map { $0 == nil }, is: [true])
            let again = try await store.persist(
                EventGroup(events, in: stores.stream, by: writer, fence: settled.fence, calls: calls))
            try require(again.outcomes, is: [.alreadyPersisted(id)])
            try require(again.refusals, is: [1: .failed(.conflict(key: "k", expected: 99, found: id))])
        },
    ]

    private static func keyCheck(
        _ description: String, _ body: @escaping @Sendable (ConformanceStores) async throws -> Void
    ) -> StoreCheck {
        StoreCheck(description) { stores in
            // A store need not keep an index of keys.
            if stores.store is any KeyIndexStore { try await body(stores) }
        }
    }
}

extension ConformanceStores {
    func keyed() throws -> any KeyIndexStore {
        guard let store = store as? any KeyIndexStore else {
            throw ConformanceFailure(description: "the store keeps no index of keys")
        }
        return store
    }

    /// A stream with an index of keys, and one writer.
    func indexed() async throws -> (store: any KeyIndexStore, writer: Writer) {
        let store = try keyed()
        try require(try await store.makeKeyIndex(of: stream), is: .complete)
        return (store, try await join("p1").writer)
    }

    func event(_ id: String, of key: String?) -> Event { Event(id: id, type: "noted", key: key) }

    func events(
        _ store: any KeyIndexStore, of key: String, after position: StreamID = 0, limit: Int = 100, bytes: Int = .max
    ) async throws -> [PersistedEvent] {
        try await store.events(ofKey: key, in: stream, after: position, limit: limit, byteLimit: bytes)
    }

    @discardableResult
    func persist(_ calls: [([Event], KeyCondition?)], _ writer: Writer) async throws -> PersistedGroup {
        try await store.persist(
            EventGroup(
                calls.flatMap(\.0), in: stream, by: writer,
                calls: calls.map { EventGroup.Call(events: $0.0.count, condition: $0.1) }))
    }
}

extension CallRefusal {
    fileprivate func isInvalid(event: String) -> Bool {
        if case .failed(.invalidEvent(_, event, _)) = self { true } else { false }
    }
}
