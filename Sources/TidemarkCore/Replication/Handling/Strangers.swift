/// What was heard of writers that the database has not named yet.
///
/// It changes nothing by itself. It is kept, with a bound, so that a writer which has just joined is heard from its
/// first position on, and not only when it repeats that.
///
/// - Parameter Name: how those who speak are told apart.
struct Strangers<Name: Hashable & Sendable>: Sendable {
    struct Said: Hashable, Sendable {
        /// Which request for the members answers it.
        let request: Int
        var position: ReplicationPosition?
        /// The highest ID of rows that were dropped.
        var highestRow: StreamID?
    }

    private let limit: Int
    private var said: [Name: Said] = [:]
    /// Those that the database did not name when it was asked. An epoch joins before it speaks, so it never will.
    private var unknown: Set<Name> = []

    init(limit: Int = 64) {
        self.limit = limit
    }

    var isEmpty: Bool { said.isEmpty }

    /// Whether the members have to be read because of it: not when they were, and it was not among them.
    mutating func heard(_ writer: Name, request: Int, _ change: (inout Said) -> Void) -> Bool {
        if unknown.contains(writer) { return false }
        guard said[writer] != nil || said.count < limit else { return true }
        change(&said[writer, default: Said(request: request)])
        return true
    }

    /// Adds to what was heard of a writer; nothing where nothing was.
    mutating func remember(_ writer: Name, _ change: (inout Said) -> Void) {
        if said[writer] != nil { change(&said[writer, default: Said(request: 0)]) }
    }

    /// The members were read; returns what those of them had said that were asked for by then.
    mutating func answered(
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
