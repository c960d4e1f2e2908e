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

    @Test mutating func linesThatComeTogetherAreToldApart() throws {
        #expect(try lines("one\ntwo\n\nthree\n") == ["one", "two", "", "three"])
    }

    @Test mutating func aLineThatComesInPiecesIsPutTogether() throws {
        #expect(try lines("o", "n", "e", "\nt", "wo\nthr", "ee\n") == ["one", "two", "three"])
    }

    @Test mutating func anUnfinishedLineIsNoLine() throws {
        #expect(try lines("one\ntw") == ["one"])
    }

    @Test mutating func aLineOfTheLimitIsTaken() throws {
        #expect(try lines("12345678\n", "1234", "5678\n") == ["12345678", "12345678"])
    }

    @Test mutating func aLongerLineIsAnErrorAlsoBeforeItsEnd() throws {
        #expect(throws: LineFraming.LineTooLong.self) { try lines("123456789\n") }
        framing = LineFraming(limit: 8)
        #expect(throws: LineFraming.LineTooLong.self) { try lines("one\n12345", "6789") }
    }

    @Test mutating func aLineThatWasHandedOutStaysAsItWas() throws {
        framing.append(ByteBuffer(string: "one\ntw"))
        let first = try #require(try framing.next())
        framing.append(ByteBuffer(string: "o\n"))
        let second = try #require(try framing.next())
        #expect(String(buffer: first) == "one")
        #expect(String(buffer: second) == "two")
    }
}
