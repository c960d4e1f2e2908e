import NIOCore
import Testing

@testable import TidemarkRedis

/// What hiredis makes of bytes, and of commands.
@Suite struct RedisProtocolTests {
    private func replies(_ pieces: [String], limit: Int = 1 << 20) throws -> [RedisReply] {
        let reader = RedisReplyReader(limit: limit)
        var replies: [RedisReply] = []
        for piece in pieces { try reader.read(ByteBuffer(string: piece)) { replies.append($0) } }
        return replies
    }

    private static let message = "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$9\r\nREPLICATE\r\n"

    @Test func `every kind of reply is read`() throws {
        let text = "+OK\r\n-ERR no\r\n:-7\r\n$-1\r\n$0\r\n\r\n*2\r\n:1\r\n*1\r\n$1\r\nx\r\n"
        #expect(
            try replies([text]) == [
                .status("OK"), .error("ERR no"), .integer(-7), .null, .bytes([]),
                .array([.integer(1), .array([.bytes([UInt8(ascii: "x")])])]),
            ])
    }

    @Test func `a reply may come in any pieces`() throws {
        let whole = try replies([Self.message + Self.message])
        #expect(whole.count == 2)
        #expect(try replies((Self.message + Self.message).map { String($0) }) == whole)
    }

    @Test func `what is not the protocol is an error`() {
        #expect(throws: RedisReplyReader.Failure.self) { try replies(["HTTP/1.1 400 Bad Request\r\n\r\n"]) }
        #expect(throws: RedisReplyReader.Failure.self) { try replies(["$x\r\n"]) }
    }

    @Test func `a reply that goes on beyond the limit is an error before it is whole`() throws {
        let piece = String(repeating: "x", count: 1000)
        #expect(throws: RedisReplyReader.Failure.tooLong(limit: 3000)) {
            try replies(["$500000000\r\n"] + Array(repeating: piece, count: 4), limit: 3000)
        }
        // Many short ones are not one long one.
        #expect(try replies(Array(repeating: Self.message, count: 200), limit: 3000).count == 200)
    }

    @Test func `a command is written with the lengths of its arguments`() {
        var buffer = ByteBuffer()
        buffer.write(.publish(RedisMessage(channel: "ch", line: Array("PING é".utf8))))
        buffer.write(.publish(RedisMessage(channel: "ch", line: [])))
        buffer.write(.ping)
        #expect(
            String(buffer: buffer) == "*3\r\n$7\r\nPUBLISH\r\n$2\r\nch\r\n$7\r\nPING é\r\n"
                + "*3\r\n$7\r\nPUBLISH\r\n$2\r\nch\r\n$0\r\n\r\n*1\r\n$4\r\nPING\r\n")
    }

    @Test func `a line may hold any bytes`() throws {
        let line = (0...255).map { UInt8($0) }
        var buffer = ByteBuffer()
        buffer.write(.publish(RedisMessage(channel: "c", line: line)))
        var read: [RedisReply] = []
        try RedisReplyReader(limit: 1 << 20).read(buffer) { read.append($0) }
        #expect(read == [.array([.bytes(Array("PUBLISH".utf8)), .bytes([UInt8(ascii: "c")]), .bytes(line)])])
    }

    @Test func `a password is not in the description of a command`() {
        #expect("\(RedisCommand.auth(user: "u", password: "hunter2"))" == "AUTH")
    }
}
