/// How far a background reader has come, and what it does before and after each snapshot.
struct ReadingProgress: Sendable {
    let reader: EventReader
    let claim: ConsumerClaim?
    private let filter: EventFilter
    private(set) var cursor: ReaderCursor
    /// Where the next batch begins: at the end of the last one that was given to the reader's user.
    private(set) var start: BatchStart
    private var hasReconciled = false
    /// What this instance relied on when the last request was made.
    private var note: StreamMachine.Note

    /// - Parameters:
    ///   - passed: the last event at or below the position; where there is a claim, it says so, and what the filter is.
    ///   - filter: which events there are.
    init(
        reader: EventReader, claim: ConsumerClaim?, after position: StreamID, passed: Delivered? = nil,
        filter: EventFilter = .all
    ) {
        self.reader = reader
        self.claim = claim
        self.filter = claim?.filter ?? filter
        cursor = ReaderCursor(after: position, passed: claim?.passed ?? passed)
        start = BatchStart(position: position, passed: claim?.passed, delivered: claim?.delivered)
        note = reader.generator.note()
    }

    /// The user is given a batch that ends where the cursor is.
    ///
    /// - Parameter delivered: what was given up to its end; nil where that is not known.
    mutating func gave(_ delivered: DeliveredSum?) {
        start = BatchStart(position: cursor.position, passed: cursor.delivered, delivered: delivered)
    }

    /// Whether the filter has left events out since the last batch, and either nothing is left to be looked at or a lot was:
    /// then the checkpoint can only move on with a batch that has no events.
    var hasPassedUnseen: Bool {
        guard let passed = cursor.delivered, passed.streamID > start.position else { return false }
        let unseen = cursor.position.rawValue - start.position.rawValue
        return cursor.position >= reader.generator.watermark.minimum
            || unseen >= Int64(Self.product(reader.configuration.filteredIDs, 10))
    }

    /// Waits until there is something to read.
    ///
    /// - Parameter factor: by which a batch may be larger than the configuration says.
    nonisolated(nonsending) mutating func nextRequest(factor: Int = 1) async throws -> SnapshotRequest {
        while true {
            try Task.checkCancellation()
            try reader.generator.checkRunning()
            try await agreeWithDatabase()
            note = reader.generator.note()
            let step = cursor.nextStep(
                watermark: note.watermark, limit: Self.product(reader.configuration.batchEvents, factor),
                byteLimit: Self.product(reader.configuration.batchBytes, factor), filter: filter,
                filtered: Int64(reader.configuration.filteredIDs))
            switch step {
            case .wait: try await waitForWatermark(otherThan: note.watermark)
            case .read(var request):
                request.claim = claim?.mark
                return request
            }
        }
    }

    /// Rule 7: a reader that was suspended, or has not agreed with the database for two seconds, asks it before it reads. The
    /// clock goes on while the machine or the process is stopped.
    private nonisolated(nonsending) mutating func agreeWithDatabase() async throws {
        guard let interval = reader.configuration.reconcileInterval else { return }
        let age = hasReconciled ? max(.seconds(2), interval * 2) : reader.configuration.stallInterval
        try await reader.generator.reconcile(ifOlderThan: age)
        hasReconciled = true
    }

    /// Limits may be very large.
    private static func product(_ limit: Int, _ factor: Int) -> Int {
        let (product, isOver) = limit.multipliedReportingOverflow(by: factor)
        return isOver ? .max : product
    }

    /// Whether the snapshot's events may be delivered; then the reader has come as far as they go.
    ///
    /// - Parameter last: the last event that is passed with them; nil when there is none.
    /// - Throws: ``TidemarkError/databaseWentBackwards(stream:id:problem:)``,
    ///   ``TidemarkError/consumerTaken(stream:consumer:)``.
    mutating func received(_ snapshot: Snapshot, last: Delivered?, for request: SnapshotRequest) throws -> Bool {
        let outcome = cursor.received(snapshot.view(last: last), for: request, heard: note.heard)
        switch outcome {
        case .wentBackwards, .lost: break
        default: try claim?.require(generation: snapshot.consumerGeneration)
        }
        switch outcome {
        case .deliver:
            agree(with: snapshot)
            return true
        case .heardFalsely:
            // Where nothing that was heard is false, the database itself had said so.
            if agree(with: snapshot) {
                throw reader.generator.wentBackwards(
                    request.through, "its sequence is at \(snapshot.sequence) now",
                    incarnation: snapshot.membership.incarnation)
            }
            return false
        case .reloadMembers:
            try reader.generator.take(
                snapshot.membership, newestCommitted: snapshot.newestEvent, since: note)
            return false
        case .wentBackwards(let id, let problem):
            throw reader.generator.wentBackwards(id, problem, incarnation: snapshot.membership.incarnation)
        case .lost(let id, let problem):
            throw TidemarkError.acknowledgedEventsLost(stream: reader.stream, id: id, problem: problem)
        }
    }

    /// The same question, before the snapshot's events are looked at: nothing changes.
    func mayDeliver(_ snapshot: Snapshot, for request: SnapshotRequest) -> Bool {
        if let claim, snapshot.consumerGeneration != claim.generation { return false }
        var cursor = cursor
        return cursor.received(snapshot.view(last: nil), for: request, heard: note.heard) == .deliver
    }

    @discardableResult
    private func agree(with snapshot: Snapshot) -> Bool {
        reader.generator.agrees(
            note, sequence: snapshot.sequence, membershipVersion: snapshot.membership.version)
    }

    var streamIsGone: TidemarkError {
        .databaseWentBackwards(
            stream: reader.stream, id: cursor.position, problem: "the stream is not there any more")
    }

    private nonisolated(nonsending) func waitForWatermark(otherThan watermark: Watermark) async throws {
        guard let interval = reader.configuration.reconcileInterval else {
            return await reader.generator.waitForChange(from: watermark, until: nil)
        }
        await reader.generator.waitForChange(from: watermark, until: reader.time.now + interval)
        guard reader.generator.watermark == watermark else { return }
        // Nobody said anything, and perhaps nobody runs who would ask the database in the background.
        if let claim { try await reader.store.verify(claim) }
        try await reader.generator.reconcile(ifOlderThan: interval / 2)
    }
}

extension Snapshot {
    fileprivate func view(last: Delivered?) -> ReaderCursor.View {
        ReaderCursor.View(
            membershipVersion: membership.version, sequence: sequence, deliveredIsThere: deliveredIsThere, last: last,
            isTruncated: isTruncated, eras: membership.eras)
    }
}
