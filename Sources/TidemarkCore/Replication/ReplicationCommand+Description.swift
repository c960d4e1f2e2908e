extension ReplicationCommand: CustomStringConvertible, CustomDebugStringConvertible {
    /// The line for a log or a terminal: without what `USER_IP` must not tell, without the rows of other software, which
    /// may hold whatever that knows (access tokens, for one), and with characters that do something instead of being seen
    /// written as escapes.
    public var description: String {
        switch self {
        case .userIP(let seen):
            return "\(kind.rawValue) \(seen)".shown
        case .rdata(let row) where row.nonce == nil:
            let token =
                switch row.token {
                case .id(let id): "\(id)"
                case .batch: "batch"
                }
            let place = "\(row.stream) \(row.writer.wireName) \(token)"
            return "\(kind.rawValue) \(place) (a row of \(row.row.text.utf8.count) bytes)".shown
        default:
            return descriptionWithRows
        }
    }

    /// The same, with the rows: for a person who has asked for them.
    public var descriptionWithRows: String {
        if case .userIP = self { return description }
        return line.shown
    }

    public var debugDescription: String { description }
}
