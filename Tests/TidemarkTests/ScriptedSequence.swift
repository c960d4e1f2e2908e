import Synchronization
import Tidemark

/// A sequence in memory whose calls a test can hold up and fail.
final class ScriptedSequence: StreamIDSequence {
    struct State {
        var last: Int64
        var abandoned: [StreamID] = []
        /// IDs that turn out to hold an event.
        var committed: Set<StreamID> = []
        var abandonFailures = 0
    }

    let state: Mutex<State>
    /// Runs before an answer is given.
    let beforeNext: @Sendable () async throws -> Void
    let beforeAbandon: @Sendable () async throws -> Void

    init(
        last: Int64, beforeNext: @escaping @Sendable () async throws -> Void = {},
        beforeAbandon: @escaping @Sendable () async throws -> Void = {}
    ) {
        state = Mutex(State(last: last))
        self.beforeNext = beforeNext
        self.beforeAbandon = beforeAbandon
    }

    struct Failure: Error {}

    func next(_ count: Int) async throws -> [StreamID] {
        try await beforeNext()
        return state.withLock { state in
            let first = state.last + 1
            state.last += Int64(count)
            return (first...state.last).map(StreamID.init(_:))
        }
    }

    func abandon(_ ids: [StreamID]) async throws -> [StreamID] {
        try await beforeAbandon()
        return try state.withLock { state in
            if state.abandonFailures > 0 {
                state.abandonFailures -= 1
                throw Failure()
            }
            state.abandoned += ids
            return ids.filter(state.committed.contains)
        }
    }

    var abandoned: [StreamID] { state.withLock { $0.abandoned } }
    func set(_ change: (inout State) -> Void) { state.withLock { change(&$0) } }
}
