import Testing
import Tidemark
import TidemarkTesting

/// A scope's body runs where its caller does, whether or not that is passed on.
@Suite struct IsolationTests {
    private actor Worker {
        private var ids: [StreamID] = []

        /// The bodies use what is the actor's alone.
        func allocate(from generator: MultiWriterIDGenerator, _ log: EventLog) async throws -> [StreamID] {
            try await generator.withNextID { ids.append($0) }
            try await generator.withNextID(timeLimit: .seconds(30), isolation: self) { ids.append($0) }
            try await generator.withNextIDs(2, timeLimit: .seconds(30), isolation: #isolation) { ids += $0 }
            try await log.withNextID { id in
                preconditionIsolated()
                ids.append(try await log.persist(Event(id: "a", type: "test"), as: id))
            }
            try await log.withNextID(timeLimit: .seconds(30), isolation: self) { id in
                preconditionIsolated()
                ids.append(try await log.persist(Event(id: "b", type: "test"), as: id))
            }
            try await log.withNextIDs(1, isolation: self) { given in
                preconditionIsolated()
                ids.append(try await log.persist(Event(id: "c", type: "test"), as: given[0]))
            }
            return ids
        }
    }

    private struct Counter: StreamIDSequence {
        let store: InMemoryEventStore
        let writer: Writer

        func next(_ count: Int) async throws -> [StreamID] { try await store.allocate(count, in: "other", for: writer) }
        func abandon(_ ids: [StreamID]) async throws -> [StreamID] { [] }
    }

    @Test func `a body runs on the actor that calls`() async throws {
        let store = InMemoryEventStore()
        let joined = try await store.join("other", as: "p1")
        let generator = MultiWriterIDGenerator(
            stream: "other", instance: "p1", sequence: Counter(store: store, writer: joined.writer),
            members: joined.membership.members)
        let log = try await EventLog.open(store, instance: "p1")
        #expect(try await Worker().allocate(from: generator, log) == [1, 2, 3, 4, 1, 2, 3])
        await log.shutDown()
    }
}
