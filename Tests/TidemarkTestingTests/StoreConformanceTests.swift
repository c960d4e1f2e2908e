import Synchronization
import Testing
import Tidemark
import TidemarkTesting

@Suite struct StoreConformanceTests {
    /// Processes that share one database, each of which `prepare` sees first.
    private static func fixture(
        _ prepare: @escaping @Sendable (InMemoryEventStore) -> Void = { _ in }
    ) -> StoreFixture {
        let shared = InMemoryEventStore()
        return StoreFixture(
            open: {
                let store = InMemoryEventStore(sharing: shared)
                prepare(store)
                return store
            },
            endProcess: { store in (store as? InMemoryEventStore)?.endProcess() },
            backUp: {
                let kept = shared.database
                return { shared.restore(kept) }
            })
    }

    @Test(arguments: StoreConformance.checks)
    func `the store in memory does what every store has to do`(_ check: StoreCheck) async throws {
        try await check.run(Self.fixture())
    }

    /// What a store does wrong, the checks that find it, and one that has nothing to do with it.
    struct Fault: Sendable, CustomStringConvertible {
        let description: String
        /// What is done, and undone before it is answered.
        let undoes: @Sendable (InMemoryEventStore.Operation) -> Bool
        let finders: Set<String>
        let other: String
    }

    static let faults = [
        Fault(
            description: "it acknowledges a group and loses it", undoes: { $0 == .persist },
            finders: [
                "an event id that is there already writes nothing, in its own group too",
                "an event is found by its id, and a stream that is not there is not",
                "a group that was committed is settled with what it committed",
            ], other: "whoever joins again with the same nonce gets the same epoch"),
        Fault(
            description: "it lets those commit that were closed", undoes: { $0 == .close },
            finders: [
                "what was allocated before a writer was closed cannot be committed",
                "a writer whose process is gone is closed whatever its heartbeat, and one that lives is not",
            ], other: "no event takes an ID that was abandoned; one that holds an event is told"),
        Fault(
            description: "it puts no tombstone where it says that it did",
            undoes: { if case .abandon = $0 { true } else { false } },
            finders: [
                "no event takes an ID that was abandoned; one that holds an event is told",
                "a writer whose epoch is over may still give its IDs up",
            ], other: "what was allocated before a writer was closed cannot be committed"),
        Fault(
            description: "it keeps members that left", undoes: { $0 == .leave },
            finders: [
                "each join, leave and retirement raises the membership version",
                "without members the minimum is the newest row",
            ], other: "an event id that is there already writes nothing, in its own group too"),
        Fault(
            description: "it moves no checkpoint", undoes: { $0 == .checkpoint },
            finders: ["the newest claim of a consumer moves its checkpoint, and no other"],
            other: "event ids are compared byte for byte"),
    ]

    @Test(arguments: faults)
    func `a store with a fault does not conform`(_ fault: Fault) async throws {
        var failed: Set<String> = []
        for check in StoreConformance.checks {
            let fixture = Self.fixture { store in
                let kept = Mutex(InMemoryDatabase())
                store.setHook { [weak store] operation, moment in
                    guard fault.undoes(operation), let store else { return }
                    switch moment {
                    case .before: kept.withLock { $0 = store.database }
                    case .after: store.restore(kept.withLock { $0 })
                    }
                }
            }
            do { try await check.run(fixture) } catch { failed.insert(check.description) }
        }
        #expect(failed.isSuperset(of: fault.finders), "\(fault.finders.subtracting(failed)) did not find it")
        #expect(!failed.contains(fault.other))
    }

    //  before the restore      marks, versions and claims are drawn
    //  after it                the same ones are drawn again
    @Test func `a store whose lives count alike does not conform`() async throws {
        let name = "two lives of a database do not count alike: neither marks, nor versions, nor claims"
        let check = try #require(StoreConformance.checks.first { $0.description == name })
        let seed: UInt64 = 7
        let current = Mutex(InMemoryEventStore(seed: seed))
        // Each life is a database that begins with the same seed, and is brought to where the backup was.
        let fixture = StoreFixture(
            open: { current.withLock { $0 } },
            backUp: {
                {
                    let store = InMemoryEventStore(seed: seed)
                    let writer = try await store.join("conformance", as: "p1", nonce: 1).writer
                    let event = Event(id: "a", type: "noted", key: "k", payload: Array("a".utf8))
                    _ = try await store.persist([event], in: "conformance", by: writer)
                    _ = try await store.claimConsumer("mailer", in: "conformance")
                    current.withLock { $0 = store }
                }
            })
        await #expect(throws: ConformanceFailure.self) { try await check.run(fixture) }
    }

    @Test func `a check that ends a process, or restores a backup, says what it needs`() async throws {
        let needing = StoreConformance.checks.filter { $0.need != nil }
        #expect(Set(needing.map(\.need)) == [.endProcess, .backUp])
        for check in needing {
            let error = await #expect(throws: ConformanceFailure.self) { try await check.run { InMemoryEventStore() } }
            #expect(error?.description.contains("the check needs a fixture with") == true)
        }
    }

    @Test func `no two checks have one name`() {
        let names = StoreConformance.checks.map(\.description)
        #expect(Set(names).count == names.count)
    }
}
