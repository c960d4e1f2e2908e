/// Whether a participant has caught up with every stream on its connection.
public struct CatchUpProgress: Sendable {
    private var waiting: Set<StreamName> = []
    private var isConnected = false

    public init() {}

    public mutating func connected(streams: some Sequence<StreamName>) {
        waiting = Set(streams)
        isConnected = true
    }

    public mutating func disconnected() {
        isConnected = false
    }

    /// True for the last stream of the connection.
    public mutating func caughtUp(_ stream: StreamName) -> Bool {
        guard isConnected, waiting.remove(stream) != nil else { return false }
        return waiting.isEmpty
    }
}
