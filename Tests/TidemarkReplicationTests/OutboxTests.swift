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
        #expect(outbox.append([try row(2, bytes: 600)], from: 1) == .full(wakes: false))
        #expect(outbox.takeAll().count == 2)
        #expect(outbox.append([try row(2, bytes: 600)], from: 1) == .wake)
    }

    private func missing(through id: StreamID) -> ReplicationCommand {
        .position(ReplicationPosition(stream: "events", writer: Writer("p1", epoch: 1), previous: id, new: 0))
    }

    @Test func rowsThatAreDroppedAreStoodForBeforeWhatFollows() throws {
        let outbox = Outbox(limit: 2000)
        #expect(outbox.append([try row(1, bytes: 900)], from: 1) == .wake)
        for id in 2...4 { _ = outbox.append([try row(StreamID(Int64(id)), bytes: 900)], from: 1) }
        #expect(outbox.append([try row(5)], from: 1) == .accepted)
        #expect(outbox.append([try row(6, bytes: 900)], from: 1) == .full(wakes: false))
        #expect(
            outbox.takeAll().map(\.commands) == [
                [try row(1, bytes: 900)], [missing(through: 4)], [try row(5)], [missing(through: 6)],
            ])
    }

    @Test func aRowThatNeverFitsIsStoodForAtOnce() throws {
        let outbox = Outbox(limit: 1000)
        #expect(outbox.append([try row(nil), try row(7, bytes: 900)], from: 3) == .full(wakes: true))
        let entries = outbox.takeAll()
        #expect(entries.map(\.sender) == [3] && entries.map(\.commands) == [[missing(through: 7)]])
        #expect(outbox.takeAll().isEmpty)
    }

    @Test func whatStandsForRowsIsOfTheSameJoin() throws {
        let outbox = Outbox(limit: 300)
        let writer = Writer("p1", epoch: 3)
        let row = ReplicationRow(stream: "events", writer: writer, nonce: 5208, token: .id(9), row: .null)
        _ = outbox.append([.rdata(row), .rdata(row)], from: 1)
        let position = ReplicationPosition(stream: "events", writer: writer, nonce: 5208, previous: 9, new: 0)
        #expect(outbox.takeAll().map(\.commands) == [[.position(position)]])
    }

    @Test func aPositionThatToldOfMissingRowsDoesSoAgain() throws {
        let outbox = Outbox(limit: 300)
        #expect(outbox.append([.replicate], from: 1) == .wake)
        #expect(outbox.append([missing(through: 9)], from: 1) == .full(wakes: false))
        #expect(outbox.takeAll().map(\.commands) == [[.replicate], [missing(through: 9)]])
    }
}
