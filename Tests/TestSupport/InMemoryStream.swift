import Synchronization
public import Tidemark
public import TidemarkHomeserver

/// A stream of rows in memory, for tests of what listens to one: what the database has of it, and what was handed on.
public final class InMemoryStream: ReplicationStreamSource {
    /// Called before an update counts as handled; throwing refuses it.
    public typealias Hook = @Sendable (_ update: StreamUpdate) async throws -> Void

    private struct State {
        var kept: [Writer: [StreamUpdate]] = [:]
        var positions: [Writer: StreamID]
        var hook: Hook?
    }

    public let stream: StreamName
    public let hearing: RowFeed.Hearing
    /// What this instance itself says of its position.
    public let own: ReplicationPosition?
    /// What was handed on, in order.
    public let handled: AsyncStream<StreamUpdate>
    private let continuation: AsyncStream<StreamUpdate>.Continuation
    private let state: Mutex<State>

    /// - Parameter positions: where the writers are to begin with.
    public init(
        _ stream: StreamName, positions: [Writer: StreamID], hearing: RowFeed.Hearing = .everyone,
        own: ReplicationPosition? = nil
    ) {
        self.stream = stream
        self.hearing = hearing
        self.own = own
        (handled, continuation) = AsyncStream.makeStream()
        state = Mutex(State(positions: positions))
    }

    public func setHook(_ hook: Hook?) { state.withLock { $0.hook = hook } }

    /// Writes an update into the database; tokens of a writer ascend.
    public func keep(_ update: StreamUpdate) {
        state.withLock { state in
            state.kept[update.writer, default: []].append(update)
            state.positions[update.writer] = update.token
        }
    }

    public func positions() async throws -> [Writer: StreamID] { state.withLock { $0.positions } }

    public func updates(
        of writer: Writer, after: StreamID, through: StreamID, limit: Int
    ) async throws -> FetchedUpdates {
        let found = state.withLock { $0.kept[writer, default: []] }.filter { after < $0.token && $0.token <= through }
        return FetchedUpdates(updates: Array(found.prefix(limit)), isComplete: found.count <= limit)
    }

    public func handle(_ update: StreamUpdate) async throws {
        try await state.withLock { $0.hook }?(update)
        continuation.yield(update)
    }

    public func ownPosition() -> ReplicationPosition? { own }
}
