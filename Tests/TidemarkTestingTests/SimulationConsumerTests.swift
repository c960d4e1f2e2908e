import Testing
import Tidemark
import TidemarkTesting

/// Users' own consumers in the simulator: those that bear crashes pass, and those that do not are found.
@Suite struct SimulationConsumerTests {
    private struct Problem: Error {
        let description: String
    }

    /// A projection that keeps what it has, and its place, in one transaction of its own: what comes again after a
    /// crash changes nothing.
    private struct Projection: SimulationConsumer {
        var ids: [StreamID] = []
        var place: StreamID = 0

        mutating func begin(after checkpoint: StreamID) throws {
            if checkpoint > place { throw Problem(description: "the checkpoint is beyond what the consumer has") }
        }

        mutating func receive(_ batch: EventBatch) {
            ids += batch.events.map(\.streamID).filter { $0 > place }
            place = max(place, batch.through)
        }

        func verify(_ events: [PersistedEvent], through position: StreamID) throws {
            if ids != events.map(\.streamID) { throw Problem(description: "it has \(ids)") }
        }
    }

    /// Sends a mail for each event, and forgets that a batch may come twice.
    private struct Mailer: SimulationConsumer {
        var sent: Set<StreamID> = []

        mutating func receive(_ batch: EventBatch) throws {
            for event in batch.events where !sent.insert(event.streamID).inserted {
                throw Problem(description: "the mail for \(event.streamID) is sent a second time")
            }
        }
    }

    /// Gathers batches in memory before it writes them down, while its checkpoint moves on without waiting for that.
    private struct Buffer: SimulationConsumer {
        var written: Set<StreamID> = []
        var inMemory: [StreamID] = []

        mutating func receive(_ batch: EventBatch) {
            inMemory += batch.events.map(\.streamID)
            if inMemory.count > 8 { write() }
        }

        private mutating func write() {
            written.formUnion(inMemory)
            inMemory = []
        }

        mutating func crash() { inMemory = [] }

        mutating func verify(_ events: [PersistedEvent], through position: StreamID) throws {
            write()
            if let lost = events.first(where: { !written.contains($0.streamID) }) {
                throw Problem(description: "\(lost.streamID) is lost")
            }
        }
    }

    /// Takes its place from the events that it saw, one too far.
    private struct Skipper: SimulationConsumer {
        var ids: [StreamID] = []
        var place: StreamID = 0

        mutating func receive(_ batch: EventBatch) {
            for event in batch.events where event.streamID > place {
                ids.append(event.streamID)
                place = StreamID(event.streamID.rawValue + 1)
            }
        }

        func verify(_ events: [PersistedEvent], through position: StreamID) throws {
            if ids != events.map(\.streamID) { throw Problem(description: "it has \(ids)") }
        }
    }

    @Test(arguments: SimulationConfiguration.Mode.allCases)
    func `a consumer that keeps its place passes`(mode: SimulationConfiguration.Mode) async {
        var configuration = SimulationConfiguration(mode: mode)
        configuration.consumer = Projection()
        #expect(await firstFailure(configuration, seeds: 60) == nil)
    }

    private func expectFound(_ consumer: any SimulationConsumer, saying text: String) async throws {
        var configuration = SimulationConfiguration()
        configuration.consumer = consumer
        let failure = try #require(await firstFailure(configuration, seeds: 300))
        #expect(failure.kind == .consumer && failure.problem.contains(text))
    }

    @Test func `one that cannot bear repetition is found`() async throws {
        try await expectFound(Mailer(), saying: "a second time")
    }

    @Test func `one that forgets what it had in memory is found`() async throws {
        try await expectFound(Buffer(), saying: "is lost")
    }

    @Test func `one that loses its place is found`() async throws {
        try await expectFound(Skipper(), saying: "it has")
    }
}
