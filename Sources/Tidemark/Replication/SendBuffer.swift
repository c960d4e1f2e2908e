import Synchronization

/// What the connections of this process have sent and a transport's thread has not taken yet, with a bound.
///
/// What does not fit is dropped. Where that were rows, a position is put in their place, before what the connection sends
/// next: otherwise nobody would ever know that there had been any.
package final class SendBuffer: Sendable {
    package struct Entry: Sendable {
        package let sender: Int
        package let commands: [ReplicationCommand]
    }

    package enum Outcome: Hashable, Sendable {
        /// The thread has to be woken; it then takes everything that has come until then.
        case wake
        case accepted
        /// It was dropped; the thread may have to be woken, to say that something is missing.
        case full(wakes: Bool)
    }

    private struct State {
        var entries: [Entry] = []
        var bytes = 0
        /// What was dropped since the last entry, by sender.
        var dropped: [Int: DroppedRows] = [:]

        mutating func standInForDropped() {
            for (sender, var rows) in dropped {
                let positions = rows.takePositions()
                if !positions.isEmpty { entries.append(Entry(sender: sender, commands: positions)) }
            }
            dropped = [:]
        }
    }

    private let limit: Int
    private let state = Mutex(State())

    /// - Parameter limit: how much may wait, in bytes.
    package init(limit: Int) { self.limit = limit }

    package func append(_ commands: [ReplicationCommand], from sender: Int) -> Outcome {
        let size = commands.reduce(0) { $0 + Self.size(of: $1) }
        return state.withLock { state in
            let wasEmpty = state.entries.isEmpty
            if state.bytes + size > limit {
                state.dropped[sender, default: DroppedRows()].add(commands)
                return .full(wakes: wasEmpty)
            }
            if !state.dropped.isEmpty { state.standInForDropped() }
            state.entries.append(Entry(sender: sender, commands: commands))
            state.bytes += size
            return wasEmpty ? .wake : .accepted
        }
    }

    package func takeAll() -> [Entry] {
        state.withLock { state in
            defer { state = State() }
            state.standInForDropped()
            return state.entries
        }
    }

    /// Roughly what a command takes: a row is the only one without a small bound.
    private static func size(of command: ReplicationCommand) -> Int {
        if case .rdata(let row) = command { 256 + row.row.text.utf8.count } else { 256 }
    }
}
