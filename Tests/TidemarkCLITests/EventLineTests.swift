import Testing
import Tidemark

@testable import TidemarkCLI

@Suite struct EventLineTests {
    private let parser = EventLineParser(stream: "events", limits: EventLimits())

    private func event(_ line: String) throws -> Event { try #require(try parser.event(.bytes(Array(line.utf8)))) }

    @Test func `the columns come from the members, and the payload is the line`() throws {
        let line = #" { "a":[1,{"id":"no"},"]}"], "type" :"noted","id":"e1" ,"n":-1.5e3, "key":"k" } "#
        #expect(try event(line) == Event(id: "e1", type: "noted", key: "k", payload: Array(line.utf8)))
        #expect(try event(#"{"id":"e","type":"t","key":null}"#).key == nil)
        #expect(try event("{\"id\":\"e\",\"type\":\"t\"}\r").payload.last == UInt8(ascii: "\r"))
    }

    @Test func `escapes in names and values are resolved`() throws {
        let found = try event(#"{"\u0069d":"a\"\\\u00e9\ud83c\udf0a","type":"t\n"}"#)
        #expect(found.id == "a\"\\é🌊")
        #expect(found.type == "t\n")
    }

    @Test(arguments: [
        ("hello", "not JSON from byte 1 on"),
        (#"{"id":"e""#, "ends in the middle"),
        (#"{"id":"e","type":"t"} x"#, "not JSON from byte 23 on"),
        ("[1]", "not a JSON object"),
        ("12", "not a JSON object"),
        ("{}", "no \"id\""),
        (#"{"type":"t"}"#, "no \"id\""),
        (#"{"id":"e"}"#, "no \"type\""),
        (#"{"id":7,"type":"t"}"#, "\"id\" is not a string"),
        (#"{"id":null,"type":"t"}"#, "\"id\" is not a string"),
        (#"{"id":"e","type":["t"]}"#, "\"type\" is not a string"),
        (#"{"id":"e","type":"t","key":{}}"#, "\"key\" is not a string"),
        (#"{"id":"e","id":"f","type":"t"}"#, "more than one \"id\""),
        (#"{"id":"\ud800","type":"t"}"#, "stands for no character"),
        (#"{"id":"","type":"t"}"#, "its id is empty"),
    ])
    func `a line that is no event is refused with what is wrong`(line: String, problem: String) {
        let error = #expect(throws: InvalidEventLine.self) { try event(line) }
        #expect(error?.description.contains(problem) == true, "\(String(describing: error))")
    }

    @Test(arguments: ["", "\r", "  ", "\t \r", "\u{FEFF}", "\u{FEFF}\r"])
    func `a blank line says nothing`(line: String) throws {
        #expect(try parser.event(.bytes(Array(line.utf8))) == nil)
    }

    @Test func `a byte order mark before an event is no part of it`() throws {
        let line = #"{"id":"e","type":"t"}"#
        #expect(try event("\u{FEFF}" + line) == event(line))
        #expect(throws: InvalidEventLine.self) { try event("\u{FEFF}\u{FEFF}" + line) }
        #expect(throws: InvalidEventLine.self) { try event(" \u{FEFF}" + line) }
    }

    @Test func `bytes that are not UTF-8 are refused`() {
        let line = Array(#"{"id":"e","type":"t","x":""#.utf8) + [0xFF] + Array("\"}".utf8)
        #expect(throws: InvalidEventLine.notUTF8) { try parser.event(.bytes(line)) }
    }

    @Test func `an id may have 255 bytes and no more`() throws {
        func line(_ count: Int) -> String {
            #"{"id":""# + String(repeating: "x", count: count) + #"","type":"t"}"#
        }
        #expect(try event(line(255)).id.utf8.count == 255)
        #expect(throws: InvalidEventLine.self) { try event(line(256)) }
    }
}
