import Testing
import Tidemark
import TidemarkTesting

/// Users' own consumers in the simulator.
@Suite struct SimulationConsumerTests {
    /// A projection that keeps what it has, and its place, together: what comes again after a crash changes nothing.
    private struct Projection: SimulationConsumer {
        var ids: [StreamID] = []
        var place: StreamID = 0

        mutating func begin(after checkpoint: StreamID) {
            precondition(checkpoint <= place, "a checkpoint beyond what the consumer has")
        }

        mutating func receive(_ batch: EventBatch) throws {
            ids += batch.events.map(\.streamID).filter { $0 > place }
            place = max(place, batch.through)
            if ids != ids.sorted() { throw OutOfOrder(ids: ids) }
        }
    }

    /// Forgets that a batch may come twice.
    private struct Counter: SimulationConsumer {
        var ids: [StreamID] = []

        mutating func begin(after checkpoint: StreamID) {}

        mutating func receive(_ batch: EventBatch) throws {
            ids += batch.events.map(\.streamID)
            if ids != ids.sorted() { throw OutOfOrder(ids: ids) }
        }
    }

    private struct OutOfOrder: Error {
        let ids: [StreamID]
    }

    @Test func aConsumerThatKeepsItsPlaceSurvives() throws {
        var configuration = SimulationConfiguration()
        configuration.consumer = Projection()
        #expect(firstFailure(configuration, seeds: 300) == nil)
    }

    @Test func aConsumerThatCannotBearRepetitionIsFoundOut() throws {
        var configuration = SimulationConfiguration()
        configuration.consumer = Counter()
        let failure = try #require(firstFailure(configuration, seeds: 300))
        #expect(failure.kind == .consumer)
    }
}
