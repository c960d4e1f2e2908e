import Testing
import TidemarkCore
import TidemarkWire

@Suite struct JSONTextTests {
    @Test(arguments: [
        "null", "true", "false", "0", "-0", "10", "-1.5", "1e5", "1E+05", "0.0e-0", "\"\"", "[]", "{}", " [ ] ",
        "{ }\t",
        "[1,2]", "[[],{},[[]]]", #"{"":0}"#, #"{"a":1,"a":2}"#, #"{"a":{"b":[{"c":null}]},"d":"e"}"#,
        #""\"\\\/\b\f\n\r\t\u00e9\uD83D\ude00\ud800""#, "\"\u{E9}\u{7F}\u{1F600} 12345678\"", "[1 , 2\t]",
        "123456789012345678901",
    ])
    func `JSON is kept as it came`(_ text: String) throws {
        #expect(Array(try JSONText(validating: text).text.utf8) == Array(text.utf8))
    }

    @Test(arguments: [
        "", " ", "nul", "nulll", "True", "tru", "01", "-", "+1", "-01", "1.", ".5", "1.e5", "1e", "1e+", "0x1", "NaN",
        "Infinity",
        "\"", "\"\\\"", "\"\\x\"", "\"\\u12g4\"", "\"\\u123\"", "\"\\u123", "\"\t\"", "\"12345678\u{1}\"", "'a'", "[",
        "]", "[1",
        "[1,", "[1,]", "[,1]", "[1 2]", "[1}", "{", "}", "{1:2}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{\"a\" 1}",
        "{\"a\":1]", "{,}", "[]]", "{}{}", "1 2", "// a\n1", "\u{FEFF}1", "\u{A0}1", "[\"a\",\u{B}1]",
    ])
    func `what is not JSON is refused`(_ text: String) {
        #expect(throws: InvalidJSONText.self) { try JSONText(validating: text) }
    }

    @Test(arguments: [("[", "]"), ("{\"a\":", "}")])
    func `nesting is bounded`(_ open: String, _ close: String) throws {
        func nested(_ depth: Int) -> String {
            String(repeating: open, count: depth) + "[]" + String(repeating: close, count: depth)
        }
        let most = JSONText.maximumDepth
        #expect(try JSONText(validating: nested(most - 1)).text == nested(most - 1))
        #expect(throws: InvalidJSONText.tooDeep(at: open.utf8.count * most)) { try JSONText(validating: nested(most)) }
        #expect(throws: InvalidJSONText.self) { try JSONText(validating: String(repeating: open, count: 1_000_000)) }
    }

    /// The containers inside which a value is are one bit each: all patterns of them up to ten deep.
    @Test func `every container ends with its own bracket`() throws {
        for depth in 1...10 {
            for pattern in 0..<(1 << depth) {
                let levels = (0..<depth).map { pattern >> $0 & 1 == 1 }
                let open = levels.map { $0 ? "{\"k\": " : "[7," }.joined()
                let close = levels.reversed().map { $0 ? ",\"l\":[]}" : ",{}]" }
                let good = open + "1" + close.joined()
                #expect(try JSONText(validating: good).text == good)
                let wrong = open + "1" + close.dropLast().joined() + (levels[0] ? "]" : "}")
                #expect(throws: InvalidJSONText.self) { try JSONText(validating: wrong) }
            }
        }
    }

    /// Strings are looked through eight bytes at a time; whatever the alignment, nothing is passed over.
    @Test func `characters that end a string are found at every place`() throws {
        for length in 0...20 {
            for place in 0...length {
                let before = String(repeating: "!", count: place)
                let after = String(repeating: "\u{7F}", count: length - place)
                let good = "\"\(before)\\\"\(after)\""
                #expect(try JSONText(validating: good).text == good)
                #expect(throws: InvalidJSONText.unexpected(at: place + 1)) {
                    try JSONText(validating: "\"\(before)\u{1F}\(after)\"")
                }
                #expect(throws: InvalidJSONText.self) { try JSONText(validating: "\"\(before)\"\(after)\"") }
                let accent = "\"\(before)\u{E9}\(after)\""
                #expect(try JSONText(validating: accent).text == accent)
            }
        }
    }
}
