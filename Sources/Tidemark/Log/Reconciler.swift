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
        /// When the last one ended that did not fail.
        var lastSucceeded: Duration?
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
                    do {
                        try await self.run()
                    } catch {
                        ended(succeeded: false)
                        throw error
                    }
                    ended(succeeded: true)
                    return number
                }
                state.running = task
                return task
            }
            // One that was running already may have opened its snapshot before the call.
            if try await valueUnlessCancelled(of: task) > ticket { return }
        }
    }

    /// Reconciles unless that was done within the last `age`. An attempt that failed does not count: its error is for
    /// everyone who needs to know.
    func reconcile(ifOlderThan age: Duration) async throws {
        if let last = state.withLock({ $0.lastSucceeded }), time.now - last < age { return }
        try await reconcile()
    }

    private func ended(succeeded: Bool) {
        state.withLock { state in
            state.running = nil
            if succeeded { state.lastSucceeded = time.now }
        }
    }

    private func run() async throws {
        let note = generator.note()
        guard var found = try await read(above: note.watermark.minimum, note) else { return }
        // After what was found was read, and before it is used: if this is the same database, that was too.
        try await checkNewestEvent()
        if !generator.agrees(note, with: found) {
            // It was read above a minimum that is false: once more, above one that is not.
            guard let foundAlone = try await read(above: note.confirmed, note) else { return }
            found = foundAlone
        }
        generator.take(found.membership, newestCommitted: found.newestCommitted, finished: found.finished)
        generator.change { $0.hearAgain(note) }
        state.withLock { state in
            state.observations = found.observations
            state.newestEvent = found.newestEvent ?? state.newestEvent
        }
    }

    /// Nil for a stream that nobody has written to yet.
    private func read(above minimum: StreamID, _ note: PositionTracker.Note) async throws -> Reconciliation? {
        let (known, version) = (note.known, note.watermark.membershipVersion)
        guard let found = try await store.reconciliation(of: stream, above: minimum, limit: Self.rowLimit) else {
            guard version == 0, known == 0 else { throw wentBackwards(known, "there is no such stream") }
            return nil
        }
        guard found.sequence >= known, found.membership.version >= version else {
            throw wentBackwards(
                known, "its sequence is at \(found.sequence), membership version \(found.membership.version)")
        }
        return found
    }

    /// Reads how far the sequence is, and nothing else: up to there this instance may promise what it heard.
    func readSequence() async throws {
        let note = generator.note()
        // No membership has this version, so that no event is asked for.
        let request = SnapshotRequest(
            delivered: nil, membershipVersion: -1, after: note.confirmed, through: note.confirmed, limit: 0,
            byteLimit: 0)
        guard let found = try await store.snapshot(of: stream, request), found.sequence >= note.known else { return }
        generator.agrees(note, sequence: found.sequence, membershipVersion: found.membership.version)
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
    /// What is gone by before a snapshot is opened.
    func note() -> PositionTracker.Note {
        state.withLock { $0.tracker.note() }
    }

    /// Whether a snapshot that was opened after the note agrees with what was heard before it. Where it does not, that was
    /// false, and is taken back.
    @discardableResult
    func agrees(_ note: PositionTracker.Note, sequence: StreamID, membershipVersion: Int) -> Bool {
        let news = change { $0.agree(note, sequence: sequence, membershipVersion: membershipVersion) }
        guard let news else { return true }
        state.withLock { $0.onFalseNews }?(news)
        return false
    }

    fileprivate func agrees(_ note: PositionTracker.Note, with found: Reconciliation) -> Bool {
        agrees(note, sequence: found.sequence, membershipVersion: found.membership.version)
    }

    /// What one snapshot of the database says.
    func take(_ membership: Membership, newestCommitted: StreamID, finished: [ClosedRange<StreamID>] = []) {
        logClosed(change { $0.take(membership, newestCommitted: newestCommitted, finished: finished) })
    }
}
