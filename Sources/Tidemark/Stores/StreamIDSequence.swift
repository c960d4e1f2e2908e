/// Where stream IDs come from, and where they are given up.
public protocol StreamIDSequence: Sendable {
    /// `count` new IDs, ascending and positive, each higher than every ID handed out before.
    func next(_ count: Int) async throws -> [StreamID]
    /// Makes sure, durably, that none of these IDs can be committed from now on; returns those that already were.
    func abandon(_ ids: [StreamID]) async throws -> [StreamID]
}
