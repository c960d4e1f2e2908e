/// Is told of the syncs of this process, whichever instance handles presence: a ``PresenceRegistry`` on that instance, a
/// ``PresenceReporter`` on all others.
public protocol SyncTracking: Sendable {
    /// A sync begins; each has to end with ``syncEnded(_:)``.
    func syncBegan(_ device: SyncingDevice)
    /// A sync that had begun is over.
    func syncEnded(_ device: SyncingDevice)
}

extension SyncTracking {
    /// Counts as one sync while `body` runs.
    public nonisolated(nonsending) func withSync<R>(
        of device: SyncingDevice, _ body: nonisolated(nonsending) () async throws -> R
    ) async rethrows -> R {
        syncBegan(device)
        defer { syncEnded(device) }
        return try await body()
    }
}
