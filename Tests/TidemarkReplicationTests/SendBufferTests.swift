import Tidemark
import Testing

@testable import TidemarkReplication

@Suite struct SendBufferTests {
    @Test func `the first one wakes and the others go along`() {
        let sendBuffer = SendBuffer(limit: 10_000)
        #expect(sendBuffer.append([.replicate], from: 1) == .wake)
        #expect(sendBuffer.append([position("p1", 1)], from: 2) == .accepted)
        #expect(sendBuffer.takeAll().map(\.sender) == [1, 2])
        #expect(sendBuffer.takeAll().isEmpty)
        #expect(sendBuffer.append([.replicate], from: 1) == .wake)
    }

    @Test func `what does not fit is refused until there is room`() throws {
        let sendBuffer = SendBuffer(limit: 1000)
        #expect(sendBuffer.append([try row(1, bytes: 600)], from: 1) == .wake)
        #expect(sendBuffer.append([try row(2, bytes: 600)], from: 1) == .full(wakes: false))
        #expect(sendBuffer.takeAll().count == 2)
        #expect(sendBuffer.append([try row(2, bytes: 600)], from: 1) == .wake)
    }

    private func missing(through id: StreamID) -> ReplicationCommand {
        .position(ReplicationPosition(stream: "events", writer: Writer("p1", epoch: 1), previous: id, new: 0))
    }

    @Test func `rows that are dropped are stood for before what follows`() throws {
        let sendBuffer = SendBuffer(limit: 2000)
        #expect(sendBuffer.append([try row(1, bytes: 900)], from: 1) == .wake)
        for id in 2...4 { _ = sendBuffer.append([try row(StreamID(Int64(id)), bytes: 900)], from: 1) }
        #expect(sendBuffer.append([try row(5)], from: 1) == .accepted)
        #expect(sendBuffer.append([try row(6, bytes: 900)], from: 1) == .full(wakes: false))
        #expect(
            sendBuffer.takeAll().map(\.commands) == [
                [try row(1, bytes: 900)], [missing(through: 4)], [try row(5)], [missing(through: 6)],
            ])
    }

    @Test func `a row that never fits is stood for at once`() throws {
        let sendBuffer = SendBuffer(limit: 1000)
        #expect(sendBuffer.append([try row(nil), try row(7, bytes: 900)], from: 3) == .full(wakes: true))
        let entries = sendBuffer.takeAll()
        #expect(entries.map(\.sender) == [3] && entries.map(\.commands) == [[missing(through: 7)]])
        #expect(sendBuffer.takeAll().isEmpty)
    }

    @Test func `what stands for rows is of the same join`() throws {
        let sendBuffer = SendBuffer(limit: 300)
        let writer = Writer("p1", epoch: 3)
        let row = ReplicationRow(stream: "events", writer: writer, nonce: 5208, token: .id(9), row: .null)
        _ = sendBuffer.append([.rdata(row), .rdata(row)], from: 1)
        let position = ReplicationPosition(stream: "events", writer: writer, nonce: 5208, previous: 9, new: 0)
        #expect(sendBuffer.takeAll().map(\.commands) == [[.position(position)]])
    }

    @Test func `a position that told of missing rows does so again`() throws {
        let sendBuffer = SendBuffer(limit: 300)
        #expect(sendBuffer.append([.replicate], from: 1) == .wake)
        #expect(sendBuffer.append([missing(through: 9)], from: 1) == .full(wakes: false))
        #expect(sendBuffer.takeAll().map(\.commands) == [[.replicate], [missing(through: 9)]])
    }
}
