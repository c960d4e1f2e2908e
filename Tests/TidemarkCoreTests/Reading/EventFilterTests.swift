import Testing
import TidemarkCore

@Suite struct EventFilterTests {
    @Test func `an event passes by its type, its key, or what its key begins with`() {
        #expect(EventFilter.all.passes(type: "a", key: nil))
        #expect(EventFilter.types(["a", "b"]).passes(type: "b", key: nil))
        #expect(!EventFilter.types(["a"]).passes(type: "A", key: nil))
        #expect(EventFilter.keys(["k"]).passes(type: "a", key: "k"))
        #expect(!EventFilter.keys(["k"]).passes(type: "a", key: "kk"))
        #expect(!EventFilter.keys(["k"]).passes(type: "a", key: nil))
        #expect(EventFilter.keyPrefix("order/").passes(type: "a", key: "order/7"))
        #expect(!EventFilter.keyPrefix("order/").passes(type: "a", key: "order"))
        #expect(
            EventFilter.keyPrefix("").passes(type: "a", key: "")
                && !EventFilter.keyPrefix("").passes(type: "a", key: nil))
    }

    @Test func `texts are compared byte for byte`() {
        #expect(!EventFilter.types(["\u{e9}"]).passes(type: "e\u{301}", key: nil))
        #expect(EventFilter.keys(["\u{e9}"]) != EventFilter.keys(["e\u{301}"]))
        // The prefix ends in the middle of what Swift takes for one letter.
        #expect(EventFilter.keyPrefix("e").passes(type: "a", key: "e\u{301}"))
    }

    /// For every two filters and every event, by brute force.
    @Test func `what passes both passes their conjunction, and nothing else`() {
        let filters: [EventFilter] = [
            .all, .types(["a"]), .types(["a", "b"]), .types([]), .keys(["k", "kl"]), .keys(["m"]), .keyPrefix("k"),
            .keyPrefix("kl"), .keyPrefix("m"), .keyPrefix(""),
        ]
        for one in filters {
            for two in filters {
                let both = one.and(two)
                #expect(both == two.and(one), "\(one) and \(two)")
                for type in ["a", "b", "c"] {
                    for key in [nil, "", "k", "kl", "m", "mk"] {
                        let expected = one.passes(type: type, key: key) && two.passes(type: type, key: key)
                        #expect(
                            both.passes(type: type, key: key) == expected, "\(one) and \(two): \(type), \(key ?? "nil")"
                        )
                    }
                }
            }
        }
    }

    @Test func `filters that say the same are equal`() {
        #expect(EventFilter.keys(["k", "m"]).and(.keyPrefix("k")) == .keys(["k"]))
        #expect(EventFilter.types(["a"]).and(.types(["b"])) == EventFilter.keys([]))
        #expect(EventFilter.keyPrefix("a").and(.keyPrefix("b")) == EventFilter.types([]))
        #expect(EventFilter.all.and(.types(["a"])) == .types(["a"]))
    }

    @Test func `what a database cannot keep is named`() {
        #expect(EventFilter.types((0..<1_000).map(String.init)).problem == nil)
        #expect(EventFilter.types((0..<1_001).map(String.init)).problem?.contains("1001") == true)
        #expect(EventFilter.keyPrefix(String(repeating: "x", count: 65_537)).problem?.contains("65537 bytes") == true)
        #expect(EventFilter.keys(["a\0"]).problem?.contains("zero byte") == true)
    }

    @Test func `a place is kept as a text`() {
        for place in [
            EventPlace(database: DatabaseID(7), id: 12, mark: CommitMark(-3)),
            EventPlace(database: DatabaseID(.max), id: 0, mark: nil),
            EventPlace(database: DatabaseID(7), id: 12, mark: CommitMark(-3), era: Incarnation(5)),
            EventPlace(database: DatabaseID(7), id: 12, mark: nil, era: Incarnation(5)),
        ] {
            #expect(EventPlace("\(place)") == place)
        }
        for text in ["", "1", "1:-2", "1:2:", "1:2:3:", "1:2:3:4:5", "1:2:3:x", "1:2::", "a:2", "1:2:x", "1::3"] {
            #expect(EventPlace(text) == nil)
        }
    }

    @Test func `a filtered snapshot looks at a bounded number of IDs, without members too`() {
        let cursor = ReaderCursor(after: 0)
        let watermark = Watermark(minimum: 1_000, membershipVersion: 1)
        guard
            case .read(let request) = cursor.nextStep(
                watermark: watermark, limit: 10, byteLimit: 10, filter: .types(["a"]), filtered: 100),
            case .read(let plain) = cursor.nextStep(watermark: watermark, limit: 10, byteLimit: 10, filtered: 100)
        else { return #expect(Bool(false), "nothing is read") }
        #expect(request.through == 100 && request.furthest == 100)
        #expect(plain.through == 1_000 && plain.furthest == StreamID(.max))
    }
}
