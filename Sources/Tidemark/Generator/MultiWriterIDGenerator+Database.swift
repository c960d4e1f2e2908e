import Logging
import Synchronization

/// What the generator of a log asks of the database, and tells it: everything here goes through the store.
extension MultiWriterIDGenerator {
    /// How many rows are read at a time; the next reading goes on from the new minimum.
    private static let rowLimit = 10_000

    func carryOutThroughStore(_ directives: StreamMachine.Directives) {
        guard let log else { return }
        if directives.contains(.readSequence) {
            Task {
                // Where it fails, no more is promised than may be promised now.
                try? await readSequence(log)
                changeNow { $0.sequenceWasRead(now: $1) }
            }
        }
        if directives.contains(.catchUp) {
            // Its errors are logged and counted. The regular reconciling finds out when the database is back.
            log.catchingUp.start { _ in try await self.reconcile() }
        }
        if directives.contains(.reconcile) { Task { await reconcileInBackground() } }
        if directives.contains(.heartbeat) { inBackground(.heartbeat) { await self.beatInBackground(log) } }
        if directives.contains(.closeWriters) { inBackground(.closing) { await self.carryOutDecision(log) } }
        // The epoch that the members do not have: another one may have begun since.
        if directives.contains(.rejoin),
            let writer = state.withLock({ $0.machine.hasLostMembership ? $0.machine.writer : nil })
        {
            // An error that lasts has ended the log's writing; after another one it is tried again.
            Task {
                do { _ = try await rejoin(after: writer) } catch { failed(error, "the writer could not join again") }
            }
        }
        if directives.contains(.observe) { observe(log) }
        if directives.contains(.explain) { Task { await tellStandstill(log) } }
    }

    /// A write that may wait for the database's lock: taken back when the log stops.
    private func inBackground(_ write: BackgroundWrite, _ body: @escaping @Sendable () async -> Void) {
        let task = Task { await body() }
        let isStopped = state.withLock { state in
            state.writes[write] = task
            return state.machine.isStopped
        }
        if isStopped { task.cancel() }
    }

    // MARK: Reconciling

    /// What this instance relies on, to be noted before a snapshot is opened.
    func note() -> StreamMachine.Note { state.withLock { $0.machine.note() } }

    /// Makes this instance agree with the database, in a snapshot that is opened after the call. Concurrent callers share
    /// one.
    ///
    /// - Throws: ``TidemarkError/databaseWentBackwards(stream:id:problem:)``, or what the store throws.
    func reconcile() async throws {
        let ticket = state.withLock { $0.reconcilesBegun }
        while true {
            let task = state.withLock { state in
                if let running = state.reconciling { return running }
                state.reconcilesBegun += 1
                let number = state.reconcilesBegun
                let task = Task<ReconcileEnd, any Error> {
                    var failure: (any Error)?
                    do { try await self.askDatabase() } catch { failure = error }
                    self.state.withLock { $0.reconciling = nil }
                    return ReconcileEnd(number: number, failure: failure)
                }
                state.reconciling = task
                return task
            }
            // One that was running already may have opened its snapshot before the call, or failed before.
            let end = try await valueUnlessCancelled(of: task)
            guard end.number > ticket else { continue }
            if let failure = end.failure { throw failure }
            return
        }
    }

    /// Reconciles unless that was done within the last `age`. An attempt that failed does not count, so that each caller
    /// gets its error.
    func reconcile(ifOlderThan age: Duration) async throws {
        if let last = state.withLock({ $0.lastReconciled }), time.now - last < age { return }
        try await reconcile()
    }

    private func askDatabase() async throws {
        guard let log else { return }
        let question = state.withLock { $0.machine.beginReconcile(awake: time.awake) }
        do {
            var minimum = question.minimum
            reading: while true {
                let found = try await log.store.reconciliation(of: stream, above: minimum, limit: Self.rowLimit)
                // After what was found was read, and before it is used: if this is the same database, that was too.
                if found != nil { try await checkNewestEvent(log, question.newest) }
                let outcome = changeNow {
                    $0.reconciled(question, found, above: minimum, now: $1, awake: time.awake)
                }
                switch outcome {
                case .agreed: break reading
                case .lost(let problem): throw lost(problem)
                case .wentBackwards(let problem):
                    throw wentBackwards(question.note.known, problem, incarnation: found?.membership.incarnation)
                case .readAgain(let above): minimum = above
                }
            }
            state.withLock { $0.lastReconciled = time.now }
        } catch {
            state.withLock { $0.machine.reconcileFailed() }
            throw error
        }
    }

    /// - Parameters:
    ///   - note: what this instance went by before the snapshot was opened.
    ///   - eras: the newest ones of the snapshot.
    /// - Throws: ``TidemarkError/acknowledgedEventsLost(stream:id:problem:)`` where IDs that it knew are handed out again.
    func requireNothingLost(since note: StreamMachine.Note, in eras: [Era]) throws(TidemarkError) {
        if let problem = state.withLock({ $0.machine.loss(since: note, in: eras) }) { throw lost(problem) }
    }

    private func lost(_ problem: String) -> TidemarkError {
        let (known, confirmed) = state.withLock { ($0.machine.known, $0.machine.confirmed) }
        return .acknowledgedEventsLost(stream: stream, id: max(known, confirmed), problem: problem)
    }

    /// A database that was put back may have come further since. Then there is another event in this place.
    private func checkNewestEvent(_ log: LogParts, _ newest: Delivered?) async throws {
        guard let newest else { return }
        let request = SnapshotRequest.withoutEvents(delivered: newest, at: newest.streamID)
        let snapshot = try await log.store.snapshot(of: stream, request)
        guard snapshot?.deliveredIsThere == true else {
            throw wentBackwards(
                newest.streamID, "the event that was there is not there now",
                incarnation: snapshot?.membership.incarnation)
        }
    }

    /// Reads how far the sequence is, and nothing else: up to there this instance may promise what it heard.
    private func readSequence(_ log: LogParts) async throws {
        let note = note()
        let request = SnapshotRequest.withoutEvents(delivered: nil, at: note.confirmed)
        guard let found = try await log.store.snapshot(of: stream, request), found.sequence >= note.known else {
            return
        }
        agrees(note, sequence: found.sequence, membershipVersion: found.membership.version)
    }

    /// Whether a snapshot that was opened after the note agrees with what was heard before it. Where it does not, that was
    /// false, and is taken back.
    @discardableResult
    func agrees(_ note: StreamMachine.Note, sequence: StreamID, membershipVersion: Int) -> Bool {
        changeNow { $0.agree(note, sequence: sequence, membershipVersion: membershipVersion, now: $1) }
    }

    /// What one snapshot of the database says that was opened after the note.
    ///
    /// - Throws: ``TidemarkError/acknowledgedEventsLost(stream:id:problem:)``.
    func take(
        _ membership: Membership, newestCommitted: StreamID, since note: StreamMachine.Note
    ) throws(TidemarkError) {
        let problem = changeNow { machine, now -> String? in
            if let problem = machine.loss(since: note, in: membership.eras) { return problem }
            machine.take(membership, newestCommitted: newestCommitted, now: now)
            return nil
        }
        if let problem { throw lost(problem) }
    }

    /// What is known is not there: lost with an incarnation, or with a backup that was put back.
    ///
    /// - Parameter incarnation: the one that was found.
    func wentBackwards(_ id: StreamID, _ problem: String, incarnation: Incarnation? = nil) -> TidemarkError {
        let seen = state.withLock { $0.machine.incarnation }
        if let incarnation, incarnation != seen {
            return .acknowledgedEventsLost(stream: stream, id: id, problem: problem)
        }
        return .databaseWentBackwards(stream: stream, id: id, problem: problem)
    }

    private func reconcileInBackground() async {
        do {
            try await reconcile()
        } catch {
            failed(error, "could not reconcile with the database")
        }
    }

    /// An error that lasts ends the log; any other is logged, once a minute at most.
    private func failed(_ error: any Error, _ what: Logger.Message) {
        if error is CancellationError { return }
        if let error = error as? TidemarkError, error.isFinal { return fail(error) }
        let now = time.now
        let isDue = state.withLock { state in
            guard state.warnings.isDue(now: now) else { return false }
            state.warnings.logged(now: now)
            return true
        }
        if isDue { logger.warning(what, metadata: ["error": "\(error)"]) }
    }

    private func observe(_ log: LogParts) {
        let (minimum, newest, standstill) = state.withLock { state in
            (state.machine.watermark.minimum, state.machine.highestKnown, state.machine.standstill(now: time.now))
        }
        log.metrics.observed(minimum: minimum, newest: newest, heldBackFor: standstill)
    }

    /// Says who holds the minimum back while events wait.
    private func tellStandstill(_ log: LogParts) async {
        guard let explanation = try? await explain(), let heldBackBy = explanation.heldBackBy else { return }
        logger.warning(
            "events wait: the minimum has stood still",
            metadata: [
                "minimum": "\(explanation.minimum)", "newest_event": "\(explanation.newestEvent)",
                "held_back_by": "\(heldBackBy)",
            ])
    }

    /// Who holds the minimum back, since when, and why.
    func explain() async throws -> Explanation {
        guard let log, let status = try await log.store.status(of: stream) else {
            throw TidemarkError.unknownStream(stream: stream, store: log.map { "\($0.store)" } ?? "no store")
        }
        let now = time.now
        let (minimum, own) = state.withLock { ($0.machine.watermark.minimum, heldBack(by: &$0.machine, now: now)) }
        let heldBackBy = minimum < status.newestEvent ? own ?? status.heldBack() : nil
        return Explanation(minimum: minimum, newestEvent: status.newestEvent, heldBackBy: heldBackBy)
    }

    /// An instance knows more of itself than its last heartbeat said. Nil where the minimum does not wait for it.
    func heldBack(by machine: inout StreamMachine, now: Duration) -> HeldBack? {
        guard let lowest = machine.lowestInFlight, lowest.id.rawValue == machine.watermark.minimum.rawValue + 1 else {
            return nil
        }
        return HeldBack(instance: instance, reason: .inFlight(lowest.id), since: now - lowest.since)
    }

    // MARK: Heartbeats

    private func beatInBackground(_ log: LogParts) async {
        defer { state.withLock { $0.machine.heartbeatEnded() } }
        guard let writer = try? currentWriter() else { return }
        do {
            try await beat(as: writer)
        } catch {
            failed(error, "a heartbeat could not be written")
        }
    }

    /// Writes the heartbeat of this instance, with the position that it promised before.
    func beat(as writer: Writer) async throws {
        guard let log, let beat = state.withLock({ $0.machine.heartbeat(of: stream, now: time.now) }) else { return }
        let answers = try await recordWrite { try await log.store.heartbeat([beat]) }
        guard let answer = answers.first else { return }
        if case .alive = answer { return changeNow { $0.heartbeatAnswered(answer, for: writer, now: $1) } }
        _ = try await rejoin(after: writer)
    }

    /// Runs a write, and tells the machine how it went: that shows whether everyone can write.
    private nonisolated(nonsending) func recordWrite<Value>(
        _ write: nonisolated(nonsending) () async throws -> Value
    ) async throws -> Value {
        let began = time.awake
        do {
            let value = try await write()
            let ended = time.awake
            state.withLock { $0.machine.wrote(from: began, to: ended) }
            return value
        } catch {
            let ended = time.awake
            state.withLock { $0.machine.writeFailed(at: ended) }
            throw error
        }
    }

    // MARK: Closing other writers

    /// Closes and retires other writers (rule 6), one decision after the other. It may wait for the database's write lock.
    func carryOutDecision(_ log: LogParts) async {
        guard let decision = state.withLock({ $0.machine.takeDecision() }) else { return }
        await carryOut(decision, log)
    }

    func carryOut(_ decision: StreamMachine.Decision, _ log: LogParts) async {
        var canWrite = true
        do {
            var hasChanged = false
            for observed in decision.close { hasChanged = try await closeWriter(observed, log) || hasChanged }
            for observed in decision.retire { hasChanged = try await retireWriter(observed, log) || hasChanged }
            if decision.needsWrite, decision.close.isEmpty, decision.retire.isEmpty {
                try await recordWrite { try await log.store.checkWritable() }
            }
            if hasChanged { try await reconcile() }
        } catch TidemarkError.readOnly {
            canWrite = false
        } catch is CancellationError {
        } catch {
            logger.warning("silent writers could not be closed", metadata: ["error": "\(error)"])
        }
        state.withLock { $0.machine.closingEnded(canWrite: canWrite) }
    }

    private func closeWriter(_ observed: WriterObservation, _ log: LogParts) async throws -> Bool {
        let position = try await recordWrite { try await log.store.closeWriter(stream, observed: observed) }
        guard let position else { return false }
        log.metrics.closedWriter()
        logger.notice("closed a writer", metadata: metadata(observed, position: position))
        return true
    }

    private func retireWriter(_ observed: WriterObservation, _ log: LogParts) async throws -> Bool {
        guard try await recordWrite({ try await log.store.retire(stream, observed: observed) }) else { return false }
        log.metrics.retiredWriter()
        logger.notice("retired a writer", metadata: metadata(observed, position: observed.position))
        return true
    }

    private func metadata(_ observed: WriterObservation, position: StreamID) -> Logger.Metadata {
        [
            "writer": "\(observed.writer.instance)", "epoch": "\(observed.writer.epoch)", "position": "\(position)",
            "reason": observed.isProcessGone ? "its process is gone" : "it was silent",
        ]
    }

    // MARK: Membership

    /// The writer's epoch is over: joins again and returns the new epoch, or the one that it has already.
    ///
    /// - Throws: ``TidemarkError/instanceTaken(stream:writer:by:)`` when another process has the name; from then on
    ///   nothing is written.
    func rejoin(after writer: Writer) async throws -> Writer {
        let task = try state.withLock { state throws(TidemarkError) in
            if let failure = state.failure { throw failure }
            switch state.machine.rejoin(after: writer, random: .random(in: 1 ... .max)) {
            case .joined(let current): return Task<Writer, any Error> { current }
            case .join(let writer, let nonce):
                let task = Task { try await self.join(after: writer, nonce: nonce) }
                state.rejoining = task
                return task
            case .wait:
                guard let rejoining = state.rejoining else {
                    preconditionFailure("a join of \(instance) is under way, and nobody waits for it")
                }
                return rejoining
            case .stopped: throw .stopped(stream: stream, instance: instance)
            }
        }
        return try await valueUnlessCancelled(of: task)
    }

    private func join(after writer: Writer, nonce: Int64) async throws -> Writer {
        guard let log else { throw TidemarkError.notAMember(stream: stream, instance: instance) }
        let (joined, note): (Joined, StreamMachine.Note)
        do {
            note = self.note()
            joined = try await log.store.rejoin(stream, after: writer, nonce: nonce)
            do {
                try requireNothingLost(since: note, in: joined.membership.eras)
            } catch {
                // It writes no more: nobody has to wait for this epoch.
                try? await Task { [stream] in try await log.store.leave(stream, as: joined.writer) }.value
                throw error
            }
        } catch {
            state.withLock { state in
                state.machine.joinFailed()
                state.rejoining = nil
            }
            if let error = error as? TidemarkError, error.isFinal { fail(error) }
            throw error
        }
        // In one step: a caller that finds no join under way may begin another.
        var following = Following.nothing
        let goesOn = state.withLock { state in
            let goesOn = state.machine.joined(joined, now: time.now)
            state.rejoining = nil
            following = self.following(&state)
            return goesOn
        }
        carryOut(following)
        guard goesOn else {
            // Nobody runs this writer, and shutting down may not have waited for it.
            // In a task of its own: this one may be cancelled, and a write that waits would be taken back.
            try await Task { [stream] in try await log.store.leave(stream, as: joined.writer) }.value
            throw TidemarkError.stopped(stream: stream, instance: instance)
        }
        warnOfSequence(joined)
        return joined.writer
    }

    func warnOfSequence(_ joined: Joined) {
        guard let old = joined.raisedFrom else { return }
        logger.warning(
            "the sequence was behind the stream's rows or positions, as after a restored backup: it was moved up",
            metadata: ["was_at": "\(old)", "is_at": "\(joined.position)"])
    }

    /// Ends the writing for good, for this reason.
    func fail(_ error: TidemarkError) {
        let waiters = state.withLock { state in
            state.failure = state.failure ?? error
            defer { state.failureWaiters = [] }
            return state.failureWaiters
        }
        for waiter in waiters { waiter.resolve(error) }
    }

    /// Returns when the log fails, with why, or with nil when the task is cancelled.
    func failure() async -> TidemarkError? {
        let waiter = Waiter<TidemarkError?>()
        let failure = state.withLock { state in
            if state.failure == nil { state.failureWaiters.append(waiter) }
            return state.failure
        }
        if let failure { return failure }
        defer { state.withLock { state in state.failureWaiters.removeAll { $0 === waiter } } }
        return await withTaskCancellationHandler {
            await waiter.value()
        } onCancel: {
            waiter.resolve(nil)
        }
    }

    /// From now on nobody writes and nobody joins. A join that is under way leaves again: it is what this returns.
    func stop() -> Task<Writer, any Error>? {
        let (writes, rejoining) = state.withLock { state in
            state.machine.stop()
            defer { state.writes = [:] }
            return (Array(state.writes.values), state.rejoining)
        }
        for write in writes { write.cancel() }
        return rejoining
    }
}

extension SnapshotRequest {
    /// Asks for everything but events: no membership has this version.
    fileprivate static func withoutEvents(delivered: Delivered?, at id: StreamID) -> SnapshotRequest {
        SnapshotRequest(
            delivered: delivered, membershipVersion: -1, after: id, through: id, limit: 0, byteLimit: 0)
    }
}
