/// A stream of rows that writers announce over replication, what the database has of it, and what is to be done with
/// its rows: each once, in the order of its writer.
///
/// Commands bring rows fast; where some were missed they come from the source, so that a lost message costs time and
/// never a row. Calls for one stream are made one after the other.
public protocol ReplicationStreamSource: Sendable {
    /// Its name on the wire.
    var stream: StreamName { get }
    /// Who is heard.
    var hearing: RowFeed.Hearing { get }

    /// The writers, and where each is now. The first answer is where listening begins, so that it may be what was kept
    /// from another time; rows up to later ones are fetched where they were missed. Where ``RowFeed/Hearing/members``
    /// are heard, these are all of them, in their newest epochs.
    ///
    /// Where ``RowFeed/Hearing/everyone`` is heard, a writer that is now behind what it has said began again, or somebody
    /// else has said that in its name: it is followed from what is sure, and rows may come twice. So a source whose answer
    /// may be old, as that of a replica of a database, leaves the writer out.
    func positions() async throws -> [Writer: StreamID]

    /// What a writer has written above `after` up to `through`, in order, at most `limit` updates.
    func updates(
        of writer: Writer, after: StreamID, through: StreamID, limit: Int
    ) async throws -> FetchedUpdates

    /// Does what the rows are for. An update without rows says that the writer is at its token.
    ///
    /// Where it throws, that is logged and counted, and after a growing delay the update comes once more, as
    /// ``updates(of:after:through:limit:)`` then has it.
    func handle(_ update: StreamUpdate) async throws

    /// Where this instance is, where it writes to the stream itself: told to others when they ask, and on each new
    /// connection. What was sent is at or below it. Nil where it only listens. Called from the transport's thread: it
    /// must not block.
    func ownPosition() -> ReplicationPosition?
}

extension ReplicationStreamSource {
    /// Members only.
    public var hearing: RowFeed.Hearing { .members }

    /// Nil: it only listens.
    public func ownPosition() -> ReplicationPosition? { nil }
}

/// What a source has of a writer.
public struct FetchedUpdates: Hashable, Sendable {
    public let updates: [StreamUpdate]
    /// Whether there is no more up to what was asked for.
    public let isComplete: Bool

    public init(updates: [StreamUpdate], isComplete: Bool) {
        self.updates = updates
        self.isComplete = isComplete
    }
}
