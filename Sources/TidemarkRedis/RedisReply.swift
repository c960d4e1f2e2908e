import CHiredis
import NIOCore

/// What a Redis server sends: an answer, or a message of a channel.
enum RedisReply: Hashable, Sendable {
    case status(String)
    case error(String)
    case integer(Int64)
    case bytes([UInt8])
    case array([RedisReply])
    case null

    /// The text of a reply that has one.
    var text: String? {
        switch self {
        case .status(let text), .error(let text): text
        case .bytes(let bytes): String(validating: bytes, as: UTF8.self)
        case .integer, .array, .null: nil
        }
    }

    /// What it is, without what it carries: for errors, which are logged.
    var kind: String {
        switch self {
        case .status: "a status"
        case .error: "an error"
        case .integer: "a number"
        case .bytes: "a string"
        case .array(let elements): "an array of \(elements.count)"
        case .null: "nothing"
        }
    }
}

/// Reads the protocol of Redis from bytes as they come, with hiredis.
///
/// Not `Sendable`: it stays on the event loop of its connection, as hiredis asks.
final class RedisReplyReader {
    enum Failure: Error, Hashable {
        /// The bytes are not the protocol of Redis.
        case notRedis(problem: String)
        /// A reply goes on beyond the limit.
        case tooLong(limit: Int)
    }

    /// Made once and freed in `deinit`; no copy of the pointer leaves this class, so it is never used after that.
    private let reader: UnsafeMutablePointer<redisReader>
    private let limit: Int
    /// Bytes since the last whole reply: hiredis itself would collect a reply of any length.
    private var unread = 0

    /// - Parameter limit: the longest reply that is taken, in bytes.
    init(limit: Int) {
        guard let reader = redisReaderCreate() else { preconditionFailure("out of memory while a reader was made") }
        self.reader = reader
        self.limit = limit
    }

    deinit { redisReaderFree(reader) }

    /// Hands on each reply that is whole.
    ///
    /// After an error nothing more can be read: where the next reply begins is unknown.
    func read(_ buffer: ByteBuffer, _ receive: (RedisReply) -> Void) throws(Failure) {
        var rest = buffer
        // In pieces, so that a flood of bytes is never copied into hiredis as a whole.
        while let piece = rest.readSlice(length: min(rest.readableBytes, Self.pieceBytes)), piece.readableBytes > 0 {
            try feed(piece)
            var hasReply = false
            while let reply = try next() {
                hasReply = true
                receive(reply)
            }
            unread = hasReply ? 0 : unread + piece.readableBytes
            if unread > limit { throw .tooLong(limit: limit) }
        }
    }

    private static let pieceBytes = 64 * 1024

    private func feed(_ bytes: ByteBuffer) throws(Failure) {
        // Safe: hiredis copies the bytes before it returns, and is told exactly how many there are.
        let status = bytes.withUnsafeReadableBytes { bytes in
            redisReaderFeed(reader, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), bytes.count)
        }
        if status != REDIS_OK { throw failure }
    }

    private func next() throws(Failure) -> RedisReply? {
        var object: UnsafeMutableRawPointer?
        if redisReaderGetReply(reader, &object) != REDIS_OK { throw failure }
        guard let object else { return nil }
        // Safe: a reader that was made by `redisReaderCreate` gives out `redisReply` objects, which belong to the caller.
        // This one is copied into a Swift value and then freed, with all that it holds, once.
        defer { freeReplyObject(object) }
        return Self.value(object.assumingMemoryBound(to: redisReply.self).pointee)
    }

    /// Nests at most seven deep: hiredis takes no more.
    private static func value(_ reply: redisReply) -> RedisReply {
        switch reply.type {
        case REDIS_REPLY_STATUS: .status(String(decoding: bytes(reply), as: UTF8.self))
        case REDIS_REPLY_ERROR: .error(String(decoding: bytes(reply), as: UTF8.self))
        case REDIS_REPLY_INTEGER: .integer(reply.integer)
        case REDIS_REPLY_STRING: .bytes(Array(bytes(reply)))
        case REDIS_REPLY_ARRAY: .array(elements(reply))
        default: .null
        }
    }

    /// Safe: hiredis gives the length of `str`, and the caller copies the bytes before the reply is freed.
    private static func bytes(_ reply: redisReply) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: reply.str, count: reply.str == nil ? 0 : reply.len)
    }

    /// Safe: hiredis gives the number of pointers at `element`, which are copied before the reply is freed.
    private static func elements(_ reply: redisReply) -> [RedisReply] {
        UnsafeBufferPointer(start: reply.element, count: reply.element == nil ? 0 : reply.elements)
            .map { $0.map { value($0.pointee) } ?? .null }
    }

    private var failure: Failure {
        let problem = withUnsafeBytes(of: reader.pointee.errstr) { bytes in
            // Ends at the first zero, or at the end of the array.
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        return .notRedis(problem: problem)
    }
}
