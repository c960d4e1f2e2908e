import Synchronization

/// What the connections of this process have sent and a transport's thread has not taken yet, with a bound.
package final class Outbox: Sendable {
    package struct Entry: Sendable {
        package let sender: Int
        package let commands: [ReplicationCommand]
    }

    package enum Outcome {
        /// The thread has to be woken; it then takes everything that has come until then.
        case wake
        case accepted
        case full
    }

    private struct State {
        var entries: [Entry] = []
        var bytes = 0
    }

    private let limit: Int
    private let state = Mutex(State())

    /// - Parameter limit: how much may wait, in bytes.
    package init(limit: Int) { self.limit = limit }

    package func append(_ commands: [ReplicationCommand], from sender: Int) -> Outcome {
        let size = commands.reduce(0) { $0 + Self.size(of: $1) }
        return state.withLock { state in
            if state.bytes + size > limit { return .full }
            let wasEmpty = state.entries.isEmpty
            state.entries.append(Entry(sender: sender, commands: commands))
            state.bytes += size
            return wasEmpty ? .wake : .accepted
        }
    }

    package func takeAll() -> [Entry] {
        state.withLock { state in
            defer { state = State() }
            return state.entries
        }
    }

    /// Roughly what a command takes: a row is the only one without a small bound.
    private static func size(of command: ReplicationCommand) -> Int {
        if case .rdata(let row) = command { 256 + row.row.text.utf8.count } else { 256 }
    }
}
