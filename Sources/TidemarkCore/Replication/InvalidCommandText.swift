/// Why a text cannot be a part of a replication command.
public enum InvalidCommandText: Error, Hashable, Sendable, CustomStringConvertible {
    case empty
    /// Offsets count bytes from 0.
    case space(at: Int)
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
