extension ReplicationCommand: CustomStringConvertible, CustomDebugStringConvertible {
    /// The line for a log or a terminal: without what `USER_IP` must not tell, and with characters that do something
    /// instead of being seen written as escapes.
    public var description: String {
        if case .userIP(let seen) = self { return "\(kind.rawValue) \(seen)".shown }
        return line.shown
    }

    public var debugDescription: String { description }
}
