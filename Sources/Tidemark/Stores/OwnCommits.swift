/// For stores: the last commit of each writer of this process. It is looked up in later transactions, to see that the database
/// is still the same.
///
/// A database that was put back may have come as far again as it was, and further: then only the mark of a commit tells the
/// two apart. A writer that joins begins anew, with what it finds.
public struct OwnCommits: Sendable {
    private struct Key: Hashable {
        let stream: StreamName
        let instance: InstanceName
    }

    private var last: [Key: (mark: Delivered, order: Int64)] = [:]

    /// Without any commit.
    public init() {}

    /// Forgets what the instance committed before: what it does from now on belongs to another epoch.
    public mutating func joined(_ stream: StreamName, as instance: InstanceName) {
        last[Key(stream: stream, instance: instance)] = nil
    }

    /// To be called after the commit, when it is durable.
    ///
    /// - Parameter order: grows from commit to commit.
    public mutating func committed(_ mark: Delivered, order: Int64, in stream: StreamName, by writer: Writer) {
        let key = Key(stream: stream, instance: writer.instance)
        if let before = last[key], before.order >= order { return }
        last[key] = (mark, order)
    }

    /// The last commit that ended well; nil while there was none since the instance joined.
    public func last(in stream: StreamName, by writer: Writer) -> Delivered? {
        last[Key(stream: stream, instance: writer.instance)]?.mark
    }
}
