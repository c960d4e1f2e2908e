import Testing
import TidemarkCore
import TidemarkWire

@Suite struct MalformedLineTests {
    typealias Problem = InvalidReplicationCommand.Problem

    @Test(arguments: [
        ("", InvalidReplicationCommand.blank),
        ("   ", .blank),
        ("FOO", .unknown(name: "FOO")),
        ("FOO secret", .unknown(name: "FOO")),
        ("ping 1", .unknown(name: "ping")),
        (" PING 1", .unknown(name: "")),
        ("PINGS", .unknown(name: "PINGS")),
        ("POSITIOM events p1 1 2", .unknown(name: "POSITIOM")),
        ("F\u{1B}\"\u{E9}", .unknown(name: #"F\x1b\x22\xc3\xa9"#)),
        (String(repeating: "A", count: 32), .unknown(name: String(repeating: "A", count: 32))),
        (String(repeating: "A", count: 33), .unknown(name: String(repeating: "A", count: 32) + "…")),
        ("PING a\nPING b", .lineBreak(at: 6)),
        ("PING a\r", .lineBreak(at: 6)),
        ("FOO\n", .lineBreak(at: 3)),
        ("\n", .lineBreak(at: 0)),
        ("RDATA events p1 5 [1,\n2]", .lineBreak(at: 21)),
        ("RDATA events p1 5 \"a\r\"", .lineBreak(at: 20)),
        ("POSITION events p1\n 1 2", .lineBreak(at: 18)),
        ("USER_SYNC a b\r c start 0", .lineBreak(at: 13)),
    ])
    func whatIsNoCommandIsRefused(_ line: String, _ error: InvalidReplicationCommand) {
        #expect(throws: error) { try ReplicationCommand(parsing: line) }
    }

    @Test(arguments: [
        ("REPLICATE now", Problem.tooManyFields),
        ("REPLICATE  ", .tooManyFields),
        ("POSITION", .missing(field: "stream")),
        ("POSITION ", .missing(field: "stream")),
        ("POSITION  events p1 1 2", .missing(field: "stream")),
        ("POSITION events", .missing(field: "instance")),
        ("POSITION events p1", .missing(field: "previous")),
        ("POSITION events p1 1", .missing(field: "new")),
        ("POSITION events p1 1 ", .missing(field: "new")),
        ("POSITION events p1  1 2", .missing(field: "previous")),
        ("POSITION events p1 1 2 3", .tooManyFields),
        ("POSITION events p1 1 2  ", .tooManyFields),
        ("POSITION ev/ents p1 1 2", .invalidName(field: "stream", .forbidden(byte: 0x2F, at: 2))),
        ("POSITION events #3 1 2", .invalidName(field: "instance", .empty)),
        ("POSITION events p\u{7F} 1 2", .invalidName(field: "instance", .forbidden(byte: 0x7F, at: 1))),
        ("POSITION events p1#0 1 2", .invalidEpoch),
        ("POSITION events p1#03 1 2", .invalidEpoch),
        ("POSITION events p1#-1 1 2", .invalidEpoch),
        ("POSITION events p1# 1 2", .invalidEpoch),
        ("POSITION events p1#3#4 1 2", .invalidEpoch),
        ("POSITION events p1#9223372036854775808 1 2", .invalidEpoch),
        ("POSITION events p1#3. 1 2", .invalidNonce),
        ("POSITION events p1#3.0 1 2", .invalidNonce),
        ("POSITION events p1#3.-5 1 2", .invalidNonce),
        ("POSITION events p1#3.5.6 1 2", .invalidNonce),
        ("POSITION events p1#3.9223372036854775808 1 2", .invalidNonce),
        ("POSITION events p1#.5 1 2", .invalidEpoch),
        ("FEDERATION_ACK p1#3.5 1", .invalidEpoch),
        ("RDATA events p1 5", .missing(field: "row")),
        ("RDATA events p1 5 ", .missing(field: "row")),
        ("RDATA events p1 batches null", .invalidNumber(field: "token")),
        ("RDATA events p1 Batch null", .invalidNumber(field: "token")),
        ("RDATA events p1 5 nul", .invalidJSON(field: "row", .incomplete)),
        ("RDATA events p1 5 {} {}", .invalidJSON(field: "row", .unexpected(at: 3))),
        ("USER_SYNC a b c begin 0", .invalidState),
        ("USER_SYNC a b c start now", .invalidNumber(field: "last sync")),
        ("USER_SYNC a b c start", .missing(field: "last sync")),
        ("USER_SYNC a b start 0", .invalidState),
        ("USER_SYNC a b c start 0 1", .tooManyFields),
        ("CLEAR_USER_SYNC", .missing(field: "instance ID")),
        ("CLEAR_USER_SYNC a b", .tooManyFields),
        ("FEDERATION_ACK p1", .missing(field: "token")),
        ("FEDERATION_ACK p1 batch", .invalidNumber(field: "token")),
        ("USER_IP @a:b", .missing(field: "JSON")),
        ("USER_IP @a:b [", .invalidJSON(field: "JSON", .incomplete)),
        ("LOCK_RELEASED", .missing(field: "JSON")),
    ])
    func whatIsWrongWithAFieldIsSaid(_ line: String, _ problem: Problem) throws {
        let kind = try #require(ReplicationCommand.Kind(rawValue: String(line.prefix { $0 != " " })))
        #expect(throws: InvalidReplicationCommand.malformed(kind, problem)) { try ReplicationCommand(parsing: line) }
    }

    @Test(arguments: [
        "007", "+1", "-0", "00", "-", "--1", "1-", "0x1", "1.0", "1e3", "\u{661}", "9223372036854775808",
        "-9223372036854775809", "99999999999999999999", "18446744073709551617", "-18446744073709551617",
    ])
    func `numbers that are not canonical are refused`(_ number: String) {
        let error = InvalidReplicationCommand.malformed(.position, .invalidNumber(field: "previous"))
        #expect(throws: error) { try ReplicationCommand(parsing: "POSITION events p1 \(number) 2") }
    }

    @Test(
        arguments: [
            [0xFF], [0x80], [0xC3], [0xC0, 0xAF], [0xED, 0xA0, 0x80], [0xF0, 0x9F, 0x98], [0xF4, 0x90, 0x80, 0x80],
        ] as [[UInt8]])
    func `what is not UTF8 is refused`(_ bytes: [UInt8]) {
        for prefix in [
            "PING ", "RDATA events p1 5 \"", "CLEAR_USER_SYNC ", "POSITION events p1", "USER_SYNC a b ", "P",
        ] {
            var line = Array(prefix.utf8) + bytes
            if prefix.hasSuffix("\"") { line.append(UInt8(ascii: "\"")) }
            #expect(throws: InvalidReplicationCommand.self, "\(prefix)") { try ReplicationCommand.parse(line.span) }
        }
    }

    @Test func `values cannot bring a line break or a space into a line`() throws {
        #expect(throws: InvalidCommandText.lineBreak(at: 1)) { try SimpleText(validating: "a\r\n") }
        #expect(throws: InvalidCommandText.lineBreak(at: 1)) { try FieldText(validating: "a\n") }
        #expect(throws: InvalidCommandText.space(at: 1)) { try FieldText(validating: "a b") }
        #expect(throws: InvalidCommandText.empty) { try FieldText(validating: "") }
        #expect(throws: InvalidJSONText.lineBreak(at: 1)) { try JSONText(validating: "[\n]") }
        let lock = LockReleased(writer: Writer("p1", epoch: 1), lockName: "a\nb\u{1}\r", lockKey: "\"\\\0")
        #expect(
            ReplicationCommand.lockReleased(lock).line == #"LOCK_RELEASED ["p1#1","a\u000ab\u0001\u000d","\"\\\u0000"]"#
        )
        let none = try FieldText(validating: "None")
        #expect(throws: InvalidCommandText.reserved("None")) {
            try UserSync(instanceID: none, user: none, device: none, state: .start, lastSyncMilliseconds: 0)
        }
    }
}
