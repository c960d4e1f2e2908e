import Testing
import TidemarkCore
import TidemarkWire

@Suite struct ReplicationCommandTests {
    private static func simple(_ text: String) -> SimpleText { valid { try SimpleText(validating: text) } }
    private static func field(_ text: String) -> FieldText { valid { try FieldText(validating: text) } }
    private static func json(_ text: String) -> JSONText { valid { try JSONText(validating: text) } }
    private static func valid<Value>(_ make: () throws -> Value) -> Value {
        do { return try make() } catch { preconditionFailure("a value of the table is not valid: \(error)") }
    }

    private static let p1 = Writer("p1", epoch: 3)
    private static let master = Writer("master", epoch: 0)

    static let commands: [(String, ReplicationCommand)] = [
        ("SERVER example.org", .server(simple("example.org"))),
        ("NAME p1", .name(simple("p1"))),
        ("PING 1490197665618", .ping(simple("1490197665618"))),
        ("PING", .ping(simple(""))),
        ("PING  two  spaces ", .ping(simple(" two  spaces "))),
        ("ERROR bad \"thing\"\tat \u{E9}\u{1F600}", .error(simple("bad \"thing\"\tat \u{E9}\u{1F600}"))),
        ("REPLICATE", .replicate),
        ("REMOTE_SERVER_UP example.org", .remoteServerUp(simple("example.org"))),
        ("NEW_ACTIVE_TASK task1", .newActiveTask(simple("task1"))),
        ("CANCEL_TASK task1", .cancelTask(simple("task1"))),
        (
            "RDATA events p1#3 17 {\"b\": 1, \"a\": \"\u{E9}\"} ",
            .rdata(.init(stream: "events", writer: p1, token: .id(17), row: json("{\"b\": 1, \"a\": \"\u{E9}\"} ")))
        ),
        (
            "RDATA caches master batch  [\"get_user\",null,1.50e+3]",
            .rdata(.init(stream: "caches", writer: master, token: .batch, row: json(" [\"get_user\",null,1.50e+3]")))
        ),
        ("RDATA events p1#3 18 null", .rdata(.init(stream: "events", writer: p1, token: .id(18), row: .null))),
        (
            "POSITION events event_persister-1 5 -7",
            .position(.init(stream: "events", writer: Writer("event_persister-1", epoch: 0), previous: 5, new: -7))
        ),
        (
            "POSITION events p1#9223372036854775807 -9223372036854775808 9223372036854775807",
            .position(
                .init(
                    stream: "events", writer: Writer("p1", epoch: .max), previous: StreamID(.min), new: StreamID(.max)))
        ),
        (
            "POSITION events p.1#3.5208 5 7",
            .position(.init(stream: "events", writer: Writer("p.1", epoch: 3), nonce: 5208, previous: 5, new: 7))
        ),
        (
            "RDATA events p1#3.9223372036854775807 18 null",
            .rdata(.init(stream: "events", writer: p1, nonce: .max, token: .id(18), row: .null))
        ),
        ("CHECKPOINT events mailer 17", .checkpoint(.init(stream: "events", consumer: "mailer", position: 17))),
        (
            "USER_SYNC hXn2 @anna:example.org PHONE start 1490197665618",
            .userSync(
                valid {
                    try UserSync(
                        instanceID: field("hXn2"), user: field("@anna:example.org"), device: field("PHONE"),
                        state: .start, lastSyncMilliseconds: 1_490_197_665_618)
                })
        ),
        (
            "USER_SYNC hXn2 @anna:example.org None end 0",
            .userSync(
                valid {
                    try UserSync(
                        instanceID: field("hXn2"), user: field("@anna:example.org"), device: nil, state: .end,
                        lastSyncMilliseconds: 0)
                })
        ),
        ("CLEAR_USER_SYNC hXn2", .clearUserSync(ClearUserSync(instanceID: field("hXn2")))),
        ("FEDERATION_ACK master 12", .federationAck(FederationAck(writer: master, token: 12))),
        ("FEDERATION_ACK p1#3 -1", .federationAck(FederationAck(writer: p1, token: -1))),
        (
            #"USER_IP @anna:example.org ["secret","::1","curl \"8\"",null,7]"#,
            .userIP(
                UserIP(
                    user: field("@anna:example.org"), accessToken: "secret", ip: "::1", userAgent: "curl \"8\"",
                    device: nil, lastSeenMilliseconds: 7))
        ),
        (
            #"LOCK_RELEASED ["p1#3","rooms","a\\b"]"#,
            .lockReleased(LockReleased(writer: p1, lockName: "rooms", lockKey: "a\\b"))
        ),
    ]

    @Test(arguments: commands)
    func `a line is its command and a command its line`(_ line: String, _ command: ReplicationCommand) throws {
        #expect(try ReplicationCommand(parsing: line) == command)
        #expect(command.line == line)
        var bytes: [UInt8] = [1]
        command.append(to: &bytes)
        #expect(bytes == [1] + Array(line.utf8))
        #expect(line.utf8.starts(with: command.kind.rawValue.utf8))
    }

    @Test func `every kind of command is in the table`() {
        #expect(Set(Self.commands.map(\.1.kind)) == Set(ReplicationCommand.Kind.allCases))
    }

    @Test(arguments: [
        "REPLICATE", "POSITION events p1 1 2", "CLEAR_USER_SYNC hXn2", "FEDERATION_ACK master 12",
        "USER_SYNC hXn2 @anna:example.org None end 0", "PING",
    ])
    func `one space at the end is let pass and not printed`(_ line: String) throws {
        #expect(try ReplicationCommand(parsing: line + " ").line == line)
    }

    @Test func `texts are compared as bytes`() throws {
        let one = Self.simple("\u{E9}")
        let two = Self.simple("e\u{301}")
        #expect(one.text == two.text)
        #expect(one != two)
        #expect(Set([one, two, one]).count == 2)
    }

    @Test func `what is no name is refused byte for byte`() throws {
        for byte in UInt8.min...UInt8.max where byte != UInt8(ascii: " ") && byte != UInt8(ascii: "#") {
            let name: [UInt8] = [UInt8(ascii: "a"), byte]
            let valid = String(validating: name, as: UTF8.self).flatMap { try? StreamName(validating: $0) }
            let line = Array("POSITION ".utf8) + name + Array(" ".utf8) + name + Array(" 1 2".utf8)
            let command = try? ReplicationCommand.parse(line.span)
            #expect((command != nil) == (valid != nil), "byte \(byte)")
        }
        let long = String(repeating: "a", count: 128)
        #expect(
            try ReplicationCommand(parsing: "POSITION \(long) \(long)#1 1 2").line == "POSITION \(long) \(long)#1 1 2")
        #expect(throws: InvalidReplicationCommand.self) { try ReplicationCommand(parsing: "POSITION \(long)a p1 1 2") }
        #expect(throws: InvalidReplicationCommand.self) { try ReplicationCommand(parsing: "POSITION s \(long)a 1 2") }
    }

    @Test func `a description is the line with escapes`() {
        #expect("\(Self.commands[0].1)" == Self.commands[0].0)
        #expect("\(ReplicationCommand.ping(Self.simple("a\u{1B}[2J\u{202E}b")))" == "PING a\\u{1B}[2J\\u{202E}b")
    }

    @Test func `an ID is finished with the last row of its batch`() {
        let p1 = Writer("p1", epoch: 1)
        func row(_ token: ReplicationRow.Token) -> ReplicationRow {
            ReplicationRow(stream: "events", writer: p1, nonce: 5, token: token, row: .null)
        }
        #expect(row(.batch).heard == nil)
        #expect(row(.id(8)).heard == HeardRow(Speaker(p1, nonce: 5), id: 8))
    }
}
