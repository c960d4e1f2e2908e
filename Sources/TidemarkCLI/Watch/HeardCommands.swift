import Synchronization
import Tidemark

/// What was heard and is not written yet, between the transport's thread, which must not wait, and the output, which may
/// have to.
final class HeardCommands: Sendable {
    struct Entry: Sendable {
        let event: ReplicationEvent
        /// In milliseconds since 1970.
        let time: Int64
    }

    private struct State {
        var entries: [Entry] = []
        var leftOut = 0
    }

    private static let limit = 100_000
    private let state = Mutex(State())
    private let wake: AsyncStream<Void>.Continuation
    /// One element or more since the last time means that there is something to take, or to look at.
    let wakes: AsyncStream<Void>

    init() {
        (wakes, wake) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    func append(_ event: ReplicationEvent, time: Int64) {
        state.withLock { state in
            if state.entries.count < Self.limit {
                state.entries.append(Entry(event: event, time: time))
            } else {
                state.leftOut += 1
            }
        }
        wake.yield()
    }

    func look() { wake.yield() }

    func take() -> (entries: [Entry], leftOut: Int) {
        state.withLock { state in
            defer { state = State() }
            return (state.entries, state.leftOut)
        }
    }
}
