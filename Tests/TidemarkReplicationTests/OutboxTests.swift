import Tidemark
import Testing

@testable import TidemarkReplication

@Suite struct OutboxTests {
    @Test func theFirstOneWakesAndTheOthersGoAlong() {
        let outbox = Outbox(limit: 10_000)
        #expect(outbox.append([.replicate], from: 1) == .wake)
        #expect(outbox.append([position("p1", 1)], from: 2) == .accepted)
        #expect(outbox.takeAll().map(\.sender) == [1, 2])
        #expect(outbox.takeAll().isEmpty)
        #expect(outbox.append([.replicate], from: 1) == .wake)
    }

    @Test func whatDoesNotFitIsRefusedUntilThereIsRoom() throws {
        let outbox = Outbox(limit: 1000)
        #expect(outbox.append([try row(1, bytes: 600)], from: 1) == .wake)
        #expect(outbox.append([try row(2, bytes: 600)], from: 1) == .full)
        #expect(outbox.takeAll().count == 1)
        #expect(outbox.append([try row(2, bytes: 600)], from: 1) == .wake)
    }
}
