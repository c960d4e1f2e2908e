import NIOCore
import TidemarkCore
import TidemarkWire
import Testing

@testable import TidemarkReplication

@Suite struct LineEncodingTests {
    private let encoding = LineEncoding(limit: 100)

    private func encoded(_ commands: [ReplicationCommand]) -> (lines: [Substring], leftOut: Int) {
        var buffer = ByteBuffer(string: "before\n")
        let leftOut = encoding.append(commands, to: &buffer)
        let lines = String(buffer: buffer).split(separator: "\n")
        #expect(lines.first == "before")
        return (Array(lines.dropFirst()), leftOut)
    }

    @Test func `each command is a line`() throws {
        let (lines, leftOut) = encoded([position("p1", 7), .replicate, try row(8)])
        #expect(lines == ["POSITION events p1#1 7 7", "REPLICATE", "RDATA events p1#1 8 \"x\""])
        #expect(leftOut == 0)
    }

    /// Guards against a promise in its place: that 25 was finished says nothing of 24.
    @Test func `a row that is too long is replaced by a position that promises nothing`() throws {
        let (lines, leftOut) = encoded([try row(24), try row(25, bytes: 200), position("p1", 23)])
        #expect(
            lines == [
                "RDATA events p1#1 24 \"x\"", "POSITION events p1#1 25 0", "POSITION events p1#1 23 23",
            ])
        #expect(leftOut == 1)
    }

    @Test func `the other rows of its ID are left out too`() throws {
        let commands = [
            try row(7), try row(nil), position("p2", 1), try row(nil, bytes: 200), try row(nil), try row(8), try row(9),
        ]
        let (lines, leftOut) = encoded(commands)
        #expect(
            lines == [
                "RDATA events p1#1 7 \"x\"", "POSITION events p2#1 1 1", "POSITION events p1#1 8 0",
                "RDATA events p1#1 9 \"x\"",
            ])
        #expect(leftOut == 4)
    }

    @Test func `rows of a batch that is not complete yet are left out to the end`() throws {
        let (lines, leftOut) = encoded([try row(nil, bytes: 200), try row(nil)])
        #expect(lines.isEmpty)
        #expect(leftOut == 2)
    }
}
