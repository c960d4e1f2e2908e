import Testing

@testable import TidemarkCLI

@Suite struct InputLinesTests {
    private func lines(_ chunks: String..., limit: Int = 100) -> [InputLines.Line] {
        var splitter = InputLines(limit: limit)
        var found: [InputLines.Line] = []
        for chunk in chunks { splitter.take(Array(chunk.utf8)[...]) { found.append($0) } }
        if let last = splitter.finish() { found.append(last) }
        return found
    }

    private func line(_ number: Int, _ text: String) -> InputLines.Line {
        InputLines.Line(number: number, content: .bytes(Array(text.utf8)))
    }

    @Test func `lines are the same wherever the chunks end`() {
        let expected = [line(1, "one"), line(2, ""), line(3, "three\r")]
        #expect(lines("one\n\nthree\r\n") == expected)
        #expect(lines("o", "n", "e", "\n", "\n", "thr", "ee\r", "\n") == expected)
        #expect(lines("one\n", "\nthree\r\n") == expected)
    }

    @Test func `a last line needs no newline, and a newline at the end begins no line`() {
        #expect(lines("a\nb") == [line(1, "a"), line(2, "b")])
        #expect(lines("a\n") == [line(1, "a")])
        #expect(lines() == [])
    }

    @Test func `of a line that is too long nothing is kept, and the next one is whole`() {
        let tooLong = InputLines.Line(number: 1, content: .tooLong)
        #expect(lines("12345\nab\n", limit: 4) == [tooLong, line(2, "ab")])
        #expect(lines("123", "45", "6789\nab", limit: 4) == [tooLong, line(2, "ab")])
        #expect(lines("1234\n", limit: 4) == [line(1, "1234")])
        #expect(lines("12345", limit: 4) == [tooLong])
    }
}
