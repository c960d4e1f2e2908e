/// What was heard of writers that the database has not named yet.
///
/// It changes nothing by itself. It is kept, with a bound, so that a writer which has just joined is heard from its
/// first position on, and not only when it repeats that.
///
/// - Parameter Name: what tells the speakers apart.
package struct Strangers<Name: Hashable & Sendable>: Sendable {
    package struct Said: Hashable, Sendable {
        /// Which request for the members answers it.
        package let request: Int
        package var position: HeardPosition?
        /// The highest ID of rows that were dropped.
        package var highestRow: StreamID?
    }

    private let limit: Int
    private var said: [Name: Said] = [:]
    /// Those that the database did not name when it was asked. An epoch joins before it speaks, so it never will.
    private var unknown: Set<Name> = []

    package init(limit: Int = 64) {
        self.limit = limit
    }

    package var isEmpty: Bool { said.isEmpty }

    /// Whether the members have to be read because of it. Not where that was done, and the writer was not among them.
    package mutating func heard(_ writer: Name, request: Int, _ change: (inout Said) -> Void) -> Bool {
        if unknown.contains(writer) { return false }
        guard said[writer] != nil || said.count < limit else { return true }
        change(&said[writer, default: Said(request: request)])
        return true
    }

    /// Adds to what was heard of a writer. Does nothing where nothing was heard of it.
    package mutating func remember(_ writer: Name, _ change: (inout Said) -> Void) {
        if said[writer] != nil { change(&said[writer, default: Said(request: 0)]) }
    }

    /// The members were read. Returns what those strangers had said that are members now.
    package mutating func answered(
        through request: Int, isMember: (Name) -> Bool
    ) -> [(writer: Name, said: Said)] {
        var found: [(writer: Name, said: Said)] = []
        for (writer, said) in said where said.request <= request || isMember(writer) {
            self.said[writer] = nil
            if isMember(writer) {
                found.append((writer, said))
            } else {
                if unknown.count >= 16 * limit { unknown.removeAll() }
                unknown.insert(writer)
            }
        }
        return found
    }
}

/// What was heard and not handed on, by reason. Nothing of it is lost: the database has it.
public struct FeedCounts: Hashable, Sendable {
    /// What this instance itself had sent: brokers send it back.
    public var own = 0
    /// From an epoch that is over, or from somebody who is no member.
    public var outdated = 0
    /// From a newer epoch, or from somebody unknown: the members are read again.
    public var strangers = 0
    /// From a writer of another database: it speaks in the name of a member, and did not join here.
    public var foreign = 0
    /// Rows of a writer that has not told its position on this connection yet.
    public var unopened = 0
    /// How often the source said that a writer is behind what had been heard of it: its stream began again, or what was
    /// heard was false.
    public var setBack = 0
    /// Writers that were forgotten to make room for others.
    public var forgottenWriters = 0
    /// What was known already.
    public var oldNews = 0
    /// Positions that told of rows which had not arrived.
    public var gaps = 0
    /// How often a queue was full, and was dropped to catch up from the database.
    public var overflows = 0
    /// What was in those queues.
    public var droppedFromQueue = 0
    /// Batches of which some rows had arrived when they were thrown away.
    public var discardedBatches = 0

    /// All 0.
    public init() {}
}
