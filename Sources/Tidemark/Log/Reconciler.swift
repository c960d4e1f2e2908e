import Synchronization

/// Makes a generator agree with the database: what replication did not bring, or brought to nobody.
///
/// Replication makes Tidemark fast, never correct; this is what makes it move without any.
final class Reconciler: Sendable {
    private let stream: StreamName
    private let store: any EventStore
    private let generator: MultiWriterIDGenerator
    private let time: TimeSource
    private let state = Mutex(State())
    /// Rows looked at in one go; the next time goes on from the new minimum.
    private static let rowLimit = 10_000

    private struct State {
        var begun = 0
        var running: Task<Int, any Error>?
        var lastEnded: Duration?
        var confirmed: StreamID = 0
        var observations: [WriterObservation] = []
        /// The newest event that was read, by which the database is known again.
        var newestEvent: Delivered?
    }

    init(stream: StreamName, store: any EventStore, generator: MultiWriterIDGenerator, time: TimeSource) {
        self.stream = stream
        self.store = store
        self.generator = generator
        self.time = time
    }

    /// The highest minimum that a snapshot has confirmed (rule 7): its membership version was still the one that the
    /// minimum was computed with.
    var confirmed: StreamID { state.withLock { $0.confirmed } }

    /// The members' signs of life, as they were read last.
    var observations: [WriterObservation] { state.withLock { $0.observations } }

    /// Reconciles in a snapshot that is opened after the call. Concurrent callers share one.
    func reconcile() async throws {
        let ticket = state.withLock { $0.begun }
        while true {
            let task = state.withLock { state in
                if let running = state.running { return running }
                state.begun += 1
                let number = state.begun
                let task = Task {
                    defer {
                        ended()
                    }
                    try await self.run()
                    return number
                }
                state.running = task
                return task
            }
            // One that was running already may have opened its snapshot before the call.
            if try await task.value > ticket { return }
        }
    }

    /// Reconciles unless that was done within the last `age`.
    func reconcile(ifOlderThan age: Duration) async throws {
        if let last = state.withLock({ $0.lastEnded }), time.now - last < age { return }
        try await reconcile()
    }

    private func ended() {
        state.withLock { state in
            state.running = nil
            state.lastEnded = time.now
        }
    }

    private func run() async throws {
        let before = generator.watermark
        let known = generator.change { $0.known }
        guard
            let found = try await store.reconciliation(of: stream, above: before.minimum, limit: Self.rowLimit)
        else {
            // A stream that nobody has written to yet, or one that was there.
            guard before.membershipVersion == 0, known == 0 else {
                throw wentBackwards(known, "there is no such stream")
            }
            return
        }
        guard found.sequence >= known, found.membership.version >= before.membershipVersion else {
            throw wentBackwards(
                known, "its sequence is at \(found.sequence), membership version \(found.membership.version)")
        }
        // After what was found was read, and before it is used: if this is the same database, that was too.
        try await checkNewestEvent()
        generator.take(found.membership, newestCommitted: found.newestCommitted, finished: found.finished)
        state.withLock { state in
            state.observations = found.observations
            state.newestEvent = found.newestEvent ?? state.newestEvent
            if found.membership.version == before.membershipVersion {
                state.confirmed = max(state.confirmed, before.minimum)
            }
        }
    }

    /// A database that was put back may have come further since than it was: its newest event then was another.
    private func checkNewestEvent() async throws {
        guard let newest = state.withLock({ $0.newestEvent }) else { return }
        // The events themselves are not asked for: no membership has this version.
        let request = SnapshotRequest(
            delivered: newest, membershipVersion: -1, after: newest.streamID, through: newest.streamID, limit: 0,
            byteLimit: 0)
        guard try await store.snapshot(of: stream, request)?.deliveredIsThere == true else {
            throw wentBackwards(newest.streamID, "the event that was there is not there now")
        }
    }

    private func wentBackwards(_ id: StreamID, _ problem: String) -> TidemarkError {
        .databaseWentBackwards(stream: stream, id: id, problem: problem)
    }
}

extension MultiWriterIDGenerator {
    /// What one snapshot of the database says.
    func take(_ membership: Membership, newestCommitted: StreamID, finished: [ClosedRange<StreamID>] = []) {
        logClosed(change { $0.take(membership, newestCommitted: newestCommitted, finished: finished) })
    }
}
