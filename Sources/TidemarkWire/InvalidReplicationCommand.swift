public import TidemarkCore

/// Why a line is no replication command. It never holds what the command carried: a line may carry an access token,
/// and errors are logged.
public enum InvalidReplicationCommand: Error, Hashable, Sendable, CustomStringConvertible {
    /// There is nothing on the line but spaces. Connections ignore such lines.
    case blank
    /// A line break inside the line; the first is at this byte.
    case lineBreak(at: Int)
    /// No command has that name: at most 32 bytes of it, what is not printable ASCII escaped.
    case unknown(name: String)
    /// The command is known, what follows its name is not what it takes.
    case malformed(ReplicationCommand.Kind, Problem)

    /// What is wrong with the fields of a command. Offsets count bytes from 0, at the field's beginning.
    public enum Problem: Error, Hashable, Sendable {
        /// The line ends before that field.
        case missing(field: String)
        /// Something follows the last field.
        case tooManyFields
        /// The field's bytes are no UTF-8.
        case notUTF8(field: String)
        /// The name of a stream or instance is none.
        case invalidName(field: String, InvalidName)
        /// Not a number of 64 bits in its shortest form: `007`, `+1` and `-0` are not.
        case invalidNumber(field: String)
        /// The epoch of an instance, as in `p1#3`, is not a number of at least 1 in its shortest form.
        case invalidEpoch
        /// The nonce of an instance, as in `p1#3.5208`, is not a number of at least 1 in its shortest form.
        case invalidNonce
        /// Neither `start` nor `end`.
        case invalidState
        /// The text of the field is none that can be there.
        case invalidText(field: String, InvalidCommandText)
        /// The field is no JSON, or not of the form that the command takes.
        case invalidJSON(field: String, InvalidJSONText)
    }

    public var description: String {
        switch self {
        case .blank: "a blank line is no replication command"
        case .lineBreak(let offset): "a replication command is one line: there is a line break at byte \(offset)"
        case .unknown(let name): "there is no replication command \"\(name)\""
        case .malformed(let kind, let problem): "\(kind.rawValue) is malformed: \(problem)"
        }
    }
}

extension InvalidReplicationCommand.Problem: CustomStringConvertible {
    public var description: String {
        switch self {
        case .missing(let field): "the \(field) is missing"
        case .tooManyFields: "something follows its last field"
        case .notUTF8(let field): "the \(field) is not UTF-8"
        case .invalidName(let field, let problem): "the \(field) is not valid: \(problem)"
        case .invalidNumber(let field): "the \(field) is not a 64-bit number in its shortest form"
        case .invalidEpoch: "the epoch after '#' is not a number of at least 1 in its shortest form"
        case .invalidNonce: "the number after the epoch is not one of at least 1 in its shortest form"
        case .invalidState: "the state is neither start nor end"
        case .invalidText(let field, let problem): "the \(field) is not valid: \(problem)"
        case .invalidJSON(let field, let problem): "the \(field) is not valid: \(problem)"
        }
    }
}

extension InvalidReplicationCommand {
    /// The error for a name that no command has: bounded and printable, whatever the peer sent.
    static func unknown(in line: Span<UInt8>) -> Self {
        let limit = 32
        var name = ""
        for offset in line.indices {
            let byte = line[offset]
            if byte == UInt8(ascii: " ") { break }
            if offset == limit { return .unknown(name: name + "…") }
            let isPlain = (0x21...0x7E).contains(byte) && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\")
            name += isPlain ? String(Unicode.Scalar(byte)) : "\\x" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
        }
        return .unknown(name: name)
    }
}

/// Why a text cannot be a part of a replication command.
public enum InvalidCommandText: Error, Hashable, Sendable, CustomStringConvertible {
    /// There is nothing where a field has at least one byte.
    case empty
    /// Offsets count bytes from 0.
    case space(at: Int)
    /// A line break, which would end the command. Offsets count bytes from 0.
    case lineBreak(at: Int)
    /// The text stands for something else where it would go: `None` for no device.
    case reserved(String)

    public var description: String {
        switch self {
        case .empty: "it is empty"
        case .space(let offset): "a space is at byte \(offset), where it would end the field"
        case .lineBreak(let offset): "a line break is at byte \(offset), where it would end the command"
        case .reserved(let text): "it is \"\(text)\", which stands for no value"
        }
    }
}
