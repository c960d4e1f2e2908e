import NIOCore
import Testing

@testable import TidemarkReplication

@Suite struct LineFramingTests {
    private var framing = LineFraming(limit: 8)

    private mutating func lines(_ pieces: String...) throws -> [String] {
        var lines: [String] = []
        for piece in pieces {
            framing.append(ByteBuffer(string: piece))
            while let line = try framing.next() { lines.append(String(buffer: line)) }
        }
        return lines
    }

    @Test mutating func `lines that come together are told apart`() throws {
        #expect(try lines("one\ntwo\n\nthree\n") == ["one", "two", "", "three"])
    }

    @Test mutating func `a line that comes in pieces is put together`() throws {
        #expect(try lines("o", "n", "e", "\nt", "wo\nthr", "ee\n") == ["one", "two", "three"])
    }

    @Test mutating func `an unfinished line is no line`() throws {
        #expect(try lines("one\ntw") == ["one"])
    }

    @Test mutating func `a line of the limit is taken`() throws {
        #expect(try lines("12345678\n", "1234", "5678\n") == ["12345678", "12345678"])
    }

    @Test mutating func `a longer line is an error also before its end`() throws {
        #expect(throws: LineFraming.LineTooLong.self) { try lines("123456789\n") }
        framing = LineFraming(limit: 8)
        #expect(throws: LineFraming.LineTooLong.self) { try lines("one\n12345", "6789") }
    }

    @Test mutating func `a line that was handed out stays as it was`() throws {
        framing.append(ByteBuffer(string: "one\ntw"))
        let first = try #require(try framing.next())
        framing.append(ByteBuffer(string: "o\n"))
        let second = try #require(try framing.next())
        #expect(String(buffer: first) == "one")
        #expect(String(buffer: second) == "two")
    }
}
