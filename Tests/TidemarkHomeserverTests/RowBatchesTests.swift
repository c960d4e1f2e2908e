import Testing

import TidemarkCore

@testable import TidemarkHomeserver
import TidemarkWire

@Suite struct RowBatchesTests {
    var batches = RowBatches(limit: 200)

    func row(_ id: StreamID?, _ text: String, of name: InstanceName = "p1") throws -> ReplicationRow {
        ReplicationRow(
            stream: "caches", writer: Writer(name, epoch: 0), token: id.map { .id($0) } ?? .batch,
            row: try JSONText(validating: text))
    }

    @Test mutating func `rows of one ID come together in their order`() throws {
        #expect(batches.add(try row(nil, "1")) == .incomplete)
        #expect(batches.add(try row(nil, "2")) == .incomplete)
        let complete = try ["1", "2", "3"].map { try JSONText(validating: $0) }
        #expect(batches.add(try row(7, "3")) == .complete(complete))
        #expect(batches.add(try row(8, "1")) == .complete([complete[0]]))
    }

    @Test mutating func `writers do not mix their rows`() throws {
        _ = batches.add(try row(nil, "1"))
        #expect(batches.add(try row(7, "2", of: "p2")) == .complete([try JSONText(validating: "2")]))
    }

    @Test mutating func `a batch above the limit is thrown away to its end`() throws {
        for _ in 0..<20 { #expect(batches.add(try row(nil, "\"xxxxxxxxxxxxxxxx\"")) == .incomplete) }
        #expect(batches.add(try row(7, "1")) == .incompleteID)
        #expect(batches.add(try row(nil, "1")) == .incomplete)
        let complete = try ["1", "2"].map { try JSONText(validating: $0) }
        #expect(batches.add(try row(8, "2")) == .complete(complete))
    }

    @Test mutating func `the rest of a discarded batch is thrown away too`() throws {
        _ = batches.add(try row(nil, "1"))
        #expect(batches.discard(of: Writer("p1", epoch: 0)) == true)
        #expect(batches.add(try row(nil, "2")) == .incomplete)
        #expect(batches.add(try row(7, "3")) == .incompleteID)
        #expect(batches.discard(of: Writer("p1", epoch: 0)) == false)
    }

    @Test mutating func `with the connection all batches go`() throws {
        _ = batches.add(try row(nil, "1"))
        _ = batches.add(try row(nil, "1", of: "p2"))
        #expect(batches.removeAll() == 2)
        #expect(batches.add(try row(7, "3")) == .complete([try JSONText(validating: "3")]))
    }
}
