import Testing
import Tidemark

@testable import TidemarkRedis

/// Which command goes where, and which of those that come are one's own.
@Suite struct MessageTests {
    private let encoding = MessageEncoding(
        channels: RedisChannels("c", hearsUserIP: false), lineLimit: 64)

    private func row(_ token: ReplicationRow.Token, bytes: Int = 1) throws -> ReplicationCommand {
        let json = try JSONText(validating: "\"" + String(repeating: "x", count: bytes) + "\"")
        return .rdata(ReplicationRow(stream: "events", writer: Writer("p1", epoch: 3), token: token, row: json))
    }

    private func position(_ writer: Writer) -> ReplicationCommand {
        .position(ReplicationPosition(stream: "events", writer: writer, previous: 4, new: 5))
    }

    @Test func `addresses of users go to a channel of their own`() throws {
        let seen = UserIP(
            user: try FieldText(validating: "@a:b"), accessToken: "t", ip: "::1", userAgent: "u", device: nil,
            lastSeenMilliseconds: 1)
        let (messages, leftOut) = encoding.messages(of: [.replicate, .userIP(seen)])
        #expect(leftOut == 0 && messages.map(\.channel) == ["c", "c/USER_IP"])
        #expect(String(decoding: messages[1].line, as: UTF8.self) == "USER_IP @a:b [\"t\",\"::1\",\"u\",null,1]")
    }

    @Test func `what is about one connection is not published`() throws {
        let text = try SimpleText(validating: "x")
        let (messages, leftOut) = encoding.messages(of: [.server(text), .name(text), .ping(text), .error(text)])
        #expect(messages.isEmpty && leftOut == 4)
    }

    @Test func `in place of a row that is too long a position has receivers fetch its ID`() throws {
        let commands = try [row(.id(1)), row(.batch), row(.batch, bytes: 100), row(.id(2)), row(.id(3))]
        let (messages, leftOut) = encoding.messages(of: commands)
        #expect(
            leftOut == 3
                && messages.map { String(decoding: $0.line, as: UTF8.self) } == [
                    "RDATA events p1#3 1 \"x\"", "POSITION events p1#3 2 0", "RDATA events p1#3 3 \"x\"",
                ])
    }

    @Test func `rows and positions of the epochs that one spoke for are ones own`() throws {
        var own = OwnWriter(name: "p1")
        #expect(!own.isOwn(position(Writer("p1", epoch: 3))))
        own.sent(try row(.id(1)))
        #expect(own.isOwn(position(Writer("p1", epoch: 3))) && own.isOwn(position(Writer("p1", epoch: 2))))
        // Another process has the name now, which has to be heard.
        #expect(!own.isOwn(position(Writer("p1", epoch: 4))))
        #expect(!own.isOwn(position(Writer("p2", epoch: 1))) && !own.isOwn(.replicate))
        // Another database's.
        let foreign = ReplicationPosition(
            stream: "events", writer: Writer("p1", epoch: 3), nonce: 5, previous: 1, new: 1)
        #expect(!own.isOwn(.position(foreign)))
    }

    @Test func `each sort of line that is skipped is told once and again after ten times as many`() {
        var skipped = SkippedLines()
        func told(_ line: String) -> String? {
            do throws(InvalidReplicationCommand) {
                _ = try ReplicationCommand(parsing: line)
                return nil
            } catch {
                return skipped.sentence(for: error)
            }
        }
        #expect(told("FOO 1")?.contains("FOO") == true && told("FOO 2") == nil)
        #expect(told("POSITION x")?.contains("POSITION") == true && told("POSITION events p1 1") == nil)
        #expect(told("RDATA x")?.contains("RDATA") == true)
        for number in 0..<100 { _ = told("C\(number)") }
        #expect(told("NEW") == nil)
        for number in 3..<10 { #expect(told("FOO \(number)") == nil) }
        #expect(told("FOO 10")?.contains("10 such lines so far") == true && told("FOO 11") == nil)
    }
}
