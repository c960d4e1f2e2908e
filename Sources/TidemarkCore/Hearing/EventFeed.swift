/// What an instance makes of the commands about its event stream that it hears.
///
/// They say two things (rule 8): positions, which are promises and true whenever they arrive, and IDs
/// that are finished, in any order. Neither has to wait for the other, so both are taken at once and nothing is queued.
/// What can be missed is rows. The minimum then stands at a gap until the database is asked, and a position says when
/// that has to be: its previous token is above everything heard of its writer, or above the new one, which is how rows
/// are replaced that could not be sent. Where the minimum has passed the missing rows by itself in the meantime, because
/// everyone has promised not to write there, nobody needs them, and the database is not asked.
///
/// Only the database says who is a member; the owner of the feed passes that in as ``Standing``.
public struct EventFeed: Sendable {
    /// What a writer is, by the members that the database gave last.
    public enum Standing: Hashable, Sendable {
        /// The newest epoch of a member.
        case member
        /// This instance itself, in this epoch or an earlier one.
        case own
        /// An earlier epoch of a member.
        case outdated
        /// A newer epoch, or an unknown name.
        case stranger
        /// The epoch of a member, or this instance's own, with another nonce or none: a writer of another database.
        case foreign
    }

    /// What follows from a line that was heard.
    public enum Action: Hashable, Sendable {
        /// Nothing: it was not heard, or says nothing new.
        case nothing
        /// The writer's position is at least this.
        case advance(Writer, to: StreamID)
        /// Nothing more will appear under this ID of the writer's.
        case finish(StreamID, Writer)
    }

    private struct Heard {
        /// The highest of what was heard: positions, and IDs of rows.
        var highest: StreamID
        var isOpen = false
    }

    /// How many lines were dropped and missed, and why.
    public private(set) var counts = FeedCounts()
    private var writers: [Speaker: Heard] = [:]
    private var strangers = Strangers<Speaker>()
    /// Rows at or below this may have been missed, as the numbered request will tell.
    private var missed: (through: StreamID, request: Int)?
    private var connectionRequest: Int?
    private var hasToldCaughtUp = false
    /// Requests to the database are numbered; one answers all that were made before it began.
    private var lastRequest = 0
    private var lastAnswered = 0

    /// Has heard nothing, and knows of no connection.
    public init() {}

    // MARK: The connection

    /// What was sent before was not for this connection: the database has to be asked.
    public mutating func connected() {
        // Only a position on this connection opens a writer again.
        for writer in writers.keys { writers[writer]?.isOpen = false }
        lastRequest += 1
        connectionRequest = lastRequest
        hasToldCaughtUp = false
    }

    /// The connection is gone: it catches up no more. The next one asks for what was missed.
    public mutating func disconnected() {
        connectionRequest = nil
    }

    // MARK: Hearing

    /// Takes a position. Where rows before it were not heard, they are to be asked for.
    public mutating func received(_ position: HeardPosition, from standing: Standing) -> Action {
        let writer = position.speaker
        guard isHeard(writer, standing, { $0.position = position }) else { return .nothing }
        let highest = writers[writer]?.highest
        let said = max(position.previous, position.new)
        writers[writer] = Heard(highest: max(highest ?? said, said), isOpen: true)
        if position.previous > highest ?? 0 || position.previous > position.new {
            counts.gaps += 1
            miss(through: position.previous)
        }
        // The promise is taken even where rows arrived ahead of it; the position tracker knows what is new.
        return .advance(position.speaker.writer, to: position.new)
    }

    /// Takes a row. Before the first position of its writer on this connection it does not count.
    public mutating func received(_ row: HeardRow, from standing: Standing) -> Action {
        let (speaker, id) = (row.speaker, row.id)
        let isHeard = isHeard(speaker, standing) { $0.highestRow = max($0.highestRow ?? id, id) }
        guard isHeard else { return .nothing }
        guard let heard = writers[speaker], heard.isOpen else {
            counts.unopened += 1
            // A member by now, and what it said before is still to be answered: this row belongs to that.
            strangers.remember(speaker) { $0.highestRow = max($0.highestRow ?? id, id) }
            return .nothing
        }
        if id > heard.highest { writers[speaker]?.highest = id }
        return .finish(id, speaker.writer)
    }

    private mutating func isHeard(
        _ writer: Speaker, _ standing: Standing, _ remember: (inout Strangers<Speaker>.Said) -> Void
    ) -> Bool {
        switch standing {
        case .member: return true
        case .own: counts.own += 1
        case .outdated: counts.outdated += 1
        case .foreign: counts.foreign += 1
        case .stranger:
            if strangers.heard(writer, request: lastRequest + 1, remember) {
                counts.strangers += 1
                lastRequest += 1
            } else {
                counts.outdated += 1
            }
        }
        return false
    }

    private mutating func miss(through id: StreamID) {
        lastRequest += 1
        missed = (max(id, missed?.through ?? id), lastRequest)
    }

    /// A sender without an epoch is no writer of an event stream.
    public mutating func heardOtherSoftware() { counts.foreign += 1 }

    /// What these writers said was false, so that nothing is known of how far they have come. Their next position opens them
    /// again, and the database has to be asked for what was true.
    public mutating func takeBack(from writers: [Writer]) {
        self.writers = self.writers.filter { !writers.contains($0.key.writer) }
        miss(through: StreamID(.max))
    }

    // MARK: Asking the database

    /// Whether the database may have to be asked for members or rows.
    public var hasQuestions: Bool {
        let isConnectionNew = connectionRequest.map { $0 > lastAnswered } ?? false
        return isConnectionNew || missed != nil || !strangers.isEmpty
    }

    /// Whether the database has to be asked, now that the minimum has come this far.
    public mutating func needsDatabase(minimum: StreamID) -> Bool {
        if let missed, missed.through <= minimum { self.missed = nil }
        return hasQuestions
    }

    /// A snapshot will be opened now; the number is for ``answered(_:isMember:)``.
    public func beginAsking() -> Int { lastRequest }

    /// The members, and what is finished, were read from a snapshot that was opened after ``beginAsking()``.
    ///
    /// - Returns: what writers had said that have just become members.
    public mutating func answered(_ request: Int, isMember: (Speaker) -> Bool) -> [Action] {
        lastAnswered = max(lastAnswered, request)
        if let missed, missed.request <= request { self.missed = nil }
        writers = writers.filter { isMember($0.key) }
        return strangers.answered(through: request, isMember: isMember).map { writer, said in
            if let row = said.highestRow { miss(through: row) }
            guard let position = said.position else { return .nothing }
            return received(position, from: .member)
        }
    }

    /// True once on each connection, when nothing that may have been missed is left to ask for.
    public mutating func becameCaughtUp(minimum: StreamID) -> Bool {
        guard connectionRequest != nil, !hasToldCaughtUp, !needsDatabase(minimum: minimum) else { return false }
        hasToldCaughtUp = true
        return true
    }
}
