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
