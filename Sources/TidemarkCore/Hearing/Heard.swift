/// What a writer said of its position: it wrote no rows between `previous` and `new`, and promises to write nothing at or
/// below `new`.
public struct HeardPosition: Hashable, Sendable {
    /// Who said it.
    public let speaker: Speaker
    /// Equal to `new` when the writer cannot say; above it when rows up to there were not sent.
    public let previous: StreamID
    /// The promise.
    public let new: StreamID

    /// Takes any two positions: the receiver checks them.
    public init(_ speaker: Speaker, previous: StreamID, new: StreamID) {
        self.speaker = speaker
        self.previous = previous
        self.new = new
    }
}

/// The last row of an ID: nothing more will appear under it.
public struct HeardRow: Hashable, Sendable {
    /// Whose row it is.
    public let speaker: Speaker
    /// The ID, which is finished.
    public let id: StreamID

    /// For an event as for a tombstone.
    public init(_ speaker: Speaker, id: StreamID) {
        self.speaker = speaker
        self.id = id
    }
}
