/// What was wrong with a name of a stream, an instance or a consumer.
public enum InvalidName: Error, Hashable, Sendable, CustomStringConvertible {
    /// Names have at least one character.
    case empty
    /// Names have at most 128 bytes.
    case tooLong(bytes: Int)
    /// Names are printable ASCII without space, `#` and `/`: they go into lines of the replication protocol, where a
    /// space ends a field and `#` an instance name, and into Redis channels, where `/` begins a sub-channel.
    case forbidden(byte: UInt8, at: Int)

    public var description: String {
        switch self {
        case .empty:
            "a name must not be empty: give 1 to 128 characters of printable ASCII without space, '#' and '/'"
        case .tooLong(let bytes):
            "a name of \(bytes) bytes is too long: give at most 128 characters"
        case .forbidden(let byte, let offset):
            "a name must be printable ASCII without space, '#' and '/': byte \(offset + 1) is \(Self.shown(byte))"
        }
    }

    private static func shown(_ byte: UInt8) -> String {
        switch byte {
        case 0x20: "a space"
        case 0x21...0x7E: "'\(Character(Unicode.Scalar(byte)))'"
        default: "0x" + String(byte, radix: 16)
        }
    }

    /// Throws unless `name` is 1 to 128 bytes of printable ASCII without space, `#` and `/`.
    package static func check(_ name: String) throws(InvalidName) {
        let bytes = name.utf8
        if bytes.isEmpty { throw .empty }
        if bytes.count > 128 { throw .tooLong(bytes: bytes.count) }
        for (offset, byte) in bytes.enumerated() where !allows(byte) {
            throw .forbidden(byte: byte, at: offset)
        }
    }

    /// Throws unless `name` is 1 to 128 bytes of printable ASCII without space, and no `#` in it is taken for that before
    /// an epoch.
    package static func checkHeard(_ name: String) throws(InvalidName) {
        let bytes = name.utf8
        if bytes.isEmpty { throw .empty }
        if bytes.count > 128 { throw .tooLong(bytes: bytes.count) }
        for (offset, byte) in bytes.enumerated() where !(0x21...0x7E).contains(byte) {
            throw .forbidden(byte: byte, at: offset)
        }
        if let mark = endOfHeardName(name) {
            throw .forbidden(byte: UInt8(ascii: "#"), at: bytes.distance(from: bytes.startIndex, to: mark))
        }
    }

    /// Where an epoch begins; nil where the text is a name alone.
    package static func endOfHeardName(_ text: String) -> String.Index? {
        guard let mark = text.utf8.firstIndex(of: UInt8(ascii: "#")) else { return nil }
        let next = text.utf8.index(after: mark)
        return next == text.utf8.endIndex || mayBeginEpoch(text.utf8[next]) ? mark : nil
    }

    /// Whether a `#` before this byte begins an epoch, or something that was to be one. Otherwise it is part of a name.
    package static func mayBeginEpoch(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || byte == UInt8(ascii: "-") || byte == UInt8(ascii: ".")
    }

    private static func allows(_ byte: UInt8) -> Bool {
        (0x21...0x7E).contains(byte) && byte != UInt8(ascii: "#") && byte != UInt8(ascii: "/")
    }
}

/// A validated name: 1 to 128 bytes of printable ASCII without space, `#` and `/`.
public protocol ValidatedName: Hashable, Comparable, Codable, Sendable, CustomStringConvertible,
    ExpressibleByStringLiteral
where StringLiteralType == String {
    /// The name as text.
    var rawValue: String { get }
    /// - Throws: ``InvalidName``.
    init(validating name: String) throws
}

extension ValidatedName {
    /// Traps when the literal is not a valid name.
    public init(stringLiteral value: String) {
        do {
            try self.init(validating: value)
        } catch {
            preconditionFailure("\"\(value)\": \(error)")
        }
    }

    public init(from decoder: any Decoder) throws {
        try self.init(validating: decoder.singleValueContainer().decode(String.self))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(rawValue)
    }

    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

    public var description: String { rawValue }
}

/// The name of one running writer (or reader); only one process at a time has it, the newest.
public struct InstanceName: ValidatedName {
    /// The name as text.
    public let rawValue: String

    public init(validating name: String) throws {
        try InvalidName.check(name)
        rawValue = name
    }

    /// A name as other software may have it: with `#` and `/` too. No instance of this package can be given one.
    ///
    /// - Throws: ``InvalidName``.
    package init(heard name: String) throws(InvalidName) {
        try InvalidName.checkHeard(name)
        rawValue = name
    }

    /// For names that were checked.
    package init(checked name: String) { rawValue = name }

    /// A name that nobody has had before: the prefix, a hyphen, and 64 random bits. For deployments whose processes have
    /// no names of their own, as the replicas of one service. Each leaves a name behind in the database, so that a name
    /// that stays the same is better where there is one. A prefix that is too long for that is cut off.
    public static func unique(prefix: InstanceName) -> InstanceName {
        let suffix = "-" + String(UInt64.random(in: 0 ... .max), radix: 36)
        // Both are printable ASCII, of one byte a character.
        return InstanceName(stringLiteral: prefix.rawValue.prefix(128 - suffix.utf8.count) + suffix)
    }
}

/// The name of an ordered log of events; its IDs come from one sequence.
public struct StreamName: ValidatedName {
    /// The name as text.
    public let rawValue: String

    public init(validating name: String) throws {
        try InvalidName.check(name)
        rawValue = name
    }

    /// For names that were checked.
    package init(checked name: String) { rawValue = name }
}

/// The name under which a background reader keeps its place in the database.
public struct ConsumerName: ValidatedName {
    /// The name as text.
    public let rawValue: String

    public init(validating name: String) throws {
        try InvalidName.check(name)
        rawValue = name
    }

    /// For names that were checked.
    package init(checked name: String) { rawValue = name }
}
