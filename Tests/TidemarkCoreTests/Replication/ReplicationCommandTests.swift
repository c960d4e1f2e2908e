import Testing
import TidemarkCore

@Suite struct ReplicationCommandTests {
    // Each `try!` is of a literal that is valid: a wrong one ends the test run at once.
    static let commands: [(String, ReplicationCommand)] = [
        ("SERVER s", .server(try! SimpleText(validating: "s"))),
        (
            "POSITION events p1#3 5 -7",
            .position(.init(stream: "events", writer: Writer("p1", epoch: 3), previous: 5, new: -7))
        ),
        (
            "RDATA caches master batch  {\"a\": [1, \"x\"]} ",
            .rdata(
                .init(
                    stream: "caches", writer: Writer("master", epoch: 0), token: .batch,
                    row: try! JSONText(validating: " {\"a\": [1, \"x\"]} ")))  // a valid literal
        ),
        ("REPLICATE", .replicate),
        ("PING", .ping(try! SimpleText(validating: ""))),  // a valid literal
    ]

    @Test(arguments: commands)
    func lines(_ line: String, _ command: ReplicationCommand) throws {
        #expect(try ReplicationCommand(parsing: line) == command)
        #expect(command.line == line)
    }

    @Test func textsAreComparedAsBytes() throws {
        let one = try SimpleText(validating: "\u{E9}"), two = try SimpleText(validating: "e\u{301}")
        #expect(one.text == two.text)
        #expect(one != two)
    }
}
