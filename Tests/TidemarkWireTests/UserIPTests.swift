import Testing
import TidemarkCore
import TidemarkWire

@Suite struct UserIPTests {
    private let line =
        #"USER_IP @anna:example.org [ "s3cr\u0065t" ,"10.0.0.1", "a\"b,[]\ud83d\ude00\ud800", "PHONE", 12 ]"#

    private func seen() throws -> UserIP {
        guard case .userIP(let seen) = try ReplicationCommand(parsing: line) else { throw CancellationError() }
        return seen
    }

    @Test func `fields are read and the line is kept`() throws {
        let seen = try seen()
        #expect(seen.user.text == "@anna:example.org")
        #expect(seen.accessToken == "s3cret")
        #expect(seen.ip == "10.0.0.1")
        #expect(seen.userAgent == "a\"b,[]\u{1F600}\u{FFFD}")
        #expect(seen.device == "PHONE")
        #expect(seen.lastSeenMilliseconds == 12)
        #expect(ReplicationCommand.userIP(seen).line == line)
    }

    @Test func `the access token is in no description`() throws {
        let seen = try seen()
        let command = ReplicationCommand.userIP(seen)
        var dumped = ""
        dump(command, to: &dumped)
        dump([seen], to: &dumped)
        let shown = [
            "\(seen)", "\(command)", String(reflecting: seen), String(reflecting: command), "\([command])",
            "\(Optional(seen) as Any)", "\(["a": command])", dumped,
            "\(Mirror(reflecting: command).children.map(\.value))",
            "\(Mirror(reflecting: seen).children.map(\.value))",
        ]
        for text in shown {
            for secret in ["s3cr", "10.0.0.1", "PHONE"] { #expect(!text.contains(secret), "\(text)") }
            #expect(text.contains("@anna:example.org"))
        }
    }

    @Test(arguments: [
        #"{"token":"s3cret"}"#, #""s3cret""#, "[]", #"["s3cret","i","u",null]"#, #"["s3cret","i","u",null,1,2]"#,
        #"[null,"i","u",null,1]"#, #"["s3cret",1,"u",null,1]"#, #"["s3cret","i","u",1,1]"#,
        #"["s3cret","i","u",null,"1"]"#,
        #"["s3cret","i","u",null,1.5]"#, #"["s3cret","i","u",null,-0]"#, #"["s3cret","i","u",null,1e3]"#,
        #"["s3cret","i",["u"],null,1]"#, #"["s3cret","i","u",null,1"#, #"["s3cret" "i"]"#, "s3cret",
    ])
    func `an error does not tell the access token`(_ json: String) {
        do {
            let command = try ReplicationCommand(parsing: "USER_IP @anna:example.org \(json)")
            Issue.record("\(command) was read from \(json)")
        } catch {
            var dumped = "\(error) \(String(reflecting: error))"
            dump(error, to: &dumped)
            #expect(!dumped.contains("s3cret") && !dumped.contains("@anna"))
        }
    }

    @Test func `a lock is read from its array`() throws {
        let line = #"LOCK_RELEASED ["p1", "rooms" , "\u006bey"]"#
        guard case .lockReleased(let lock) = try ReplicationCommand(parsing: line) else {
            Issue.record("another command was read")
            return
        }
        #expect(lock.writer == Writer("p1", epoch: 0))
        #expect(lock.lockName == "rooms")
        #expect(lock.lockKey == "key")
        #expect(ReplicationCommand.lockReleased(lock).line == line)
    }

    @Test(arguments: [
        #"["p1","a"]"#, #"["p1#0","a","b"]"#, #"["p1 1","a","b"]"#, #"["","a","b"]"#, #"["p1","a",1]"#, #"{"p1":1}"#,
        #"["p1","a","b","c"]"#, #"["p\n1","a","b"]"#,
    ])
    func `what is no lock is refused`(_ json: String) throws {
        let json = try JSONText(validating: json)
        #expect(throws: InvalidJSONText.self) { try LockReleased(validating: json) }
    }
}
