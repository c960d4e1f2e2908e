/// Where stream IDs come from, and where they are given up.
public protocol StreamIDSequence: Sendable {
    /// `count` new IDs, ascending and positive, each higher than every ID handed out before.
    func next(_ count: Int) async throws -> [StreamID]
    /// Makes sure, durably, that none of these IDs can be committed from now on; returns those that already were.
    func abandon(_ ids: [StreamID]) async throws -> [StreamID]
    /// The same for a sequence that can go back, as some databases' do when they crash: it also says which of the IDs are
    /// void. Others need not implement it.
    ///
    /// - Parameter incarnation: which life of the database handed the IDs out; nil for that of now.
    func abandon(_ ids: [StreamID], allocatedIn incarnation: Incarnation?) async throws -> AbandonedIDs
}

extension StreamIDSequence {
    /// For a sequence that never goes back: no ID is void.
    public func abandon(_ ids: [StreamID], allocatedIn incarnation: Incarnation?) async throws -> AbandonedIDs {
        AbandonedIDs(committed: try await abandon(ids))
    }
}

/// A sequence that never waits for anything, such as a counter in memory.
///
/// It is asked on its caller's thread. Other sequences are asked in a task of their own, so that a time limit, or
/// the end of the caller's task, can take its answer from them; which costs several times as much as such a counter.
public protocol ImmediateStreamIDSequence: StreamIDSequence {
    /// The same as ``StreamIDSequence/next(_:)``, and at once. Must not block.
    func nextImmediately(_ count: Int) throws -> [StreamID]
    /// One new ID.
    func nextImmediately() throws -> StreamID
}

extension ImmediateStreamIDSequence {
    public func next(_ count: Int) async throws -> [StreamID] { try nextImmediately(count) }
}
