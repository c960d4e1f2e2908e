import DequeModule
import TidemarkCore

/// What has to be fetched for a ``RowFeed``: of each writer everything up to a token, one writer after the other, in the order
/// in which it was wanted.
struct CatchUps {
    /// Up to where; those that are wanted again meanwhile are fetched further.
    private var wanted: [Writer: StreamID] = [:]
    /// Writers that were forgotten since may still be in it.
    private var waiting = Deque<Writer>()
    private var running: Running?

    private struct Running {
        let writer: Writer
        let through: StreamID
        /// What is not handed on yet.
        var fetched = Deque<StreamUpdate>()
        var hasBegun = false
    }

    var waitingCount: Int { waiting.count }
    var isEmpty: Bool { wanted.isEmpty && running == nil }
    /// Up to where the one that goes on goes.
    var through: StreamID? { running?.through }
    /// Whether the one that goes on has fetched something.
    var hasBegun: Bool { running?.hasBegun ?? false }

    mutating func want(_ writer: Writer, through token: StreamID) {
        if let before = wanted[writer] {
            wanted[writer] = max(before, token)
            return
        }
        wanted[writer] = token
        waiting.append(writer)
        guard waiting.count > 2 * wanted.count + 64 else { return }
        var found: Set<Writer> = []
        waiting = waiting.filter { wanted[$0] != nil && found.insert($0).inserted }
    }

    /// The one that goes on, or the next one; nil when nothing is wanted.
    mutating func current() -> (writer: Writer, through: StreamID)? {
        while running == nil {
            guard let writer = waiting.popFirst() else { return nil }
            if let through = wanted.removeValue(forKey: writer) { running = Running(writer: writer, through: through) }
        }
        return running.map { ($0.writer, $0.through) }
    }

    mutating func fetched(_ updates: [StreamUpdate]) {
        running?.hasBegun = true
        running?.fetched.append(contentsOf: updates)
    }

    /// The next fetched update above what is done already.
    mutating func nextFetched(above done: StreamID) -> StreamUpdate? {
        while let update = running?.fetched.popFirst() {
            if update.token > done { return update }
        }
        return nil
    }

    mutating func end() { running = nil }

    /// What goes on goes on.
    mutating func forgetWanted(of writer: Writer) { wanted[writer] = nil }

    mutating func remove(_ writer: Writer) {
        wanted[writer] = nil
        if running?.writer == writer { running = nil }
    }
}
