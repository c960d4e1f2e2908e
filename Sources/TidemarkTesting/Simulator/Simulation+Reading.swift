import Tidemark

extension Simulation {
    /// The next part of reading a batch: the watermark, then the snapshot, then what the cursor makes of it. Whatever
    /// else happens may come in between. False when there is nothing to read.
    mutating func read(_ number: Int) -> Bool {
        let rule = configuration.withoutRule
        switch processes[number].memory.reading {
        case .idle where rule == .watermarkBeforeSnapshot:
            processes[number].memory.reading = .opened(database.contents)
        case .idle:
            let before = processes[number].memory.machine { $0.note() }
            guard let request = nextRequest(number) else { return false }
            processes[number].memory.reading = .asked(request, before)
            note(number, 20, "is about to read through \(request.through)")
        case .asked(var request, let before):
            if rule == .membershipVersion { request.membershipVersion = database.stream.membershipVersion }
            guard let snapshot = snapshot(of: database.contents, request, number) else { return false }
            processes[number].memory.reading = .seen(request, before, snapshot)
            note(number, 21, "opens a snapshot with \(snapshot.events.map(\.streamID))")
        case .seen(let request, let before, let snapshot):
            processes[number].memory.reading = .idle
            take(snapshot, for: request, before, number)
        case .opened(let contents):
            processes[number].memory.reading = .idle
            let before = processes[number].memory.machine { $0.note() }
            guard let request = nextRequest(number),
                let snapshot = snapshot(of: contents, request, number)
            else { return false }
            take(snapshot, for: request, before, number)
        }
        return true
    }

    private mutating func snapshot(
        of contents: InMemoryDatabase, _ request: SnapshotRequest, _ number: Int
    ) -> Snapshot? {
        do throws(TidemarkError) {
            return try contents.snapshot(of: SimulatedDatabase.stream, request)
        } catch .pruned(_, _, let through) where prunes {
            processes[number].memory.reading = .idle
            goOn(number, after: through)
            return nil
        } catch {
            fail(.falseAlarm, "\(processes[number].instance) reads: \(error)")
            return nil
        }
    }

    private mutating func nextRequest(_ number: Int) -> SnapshotRequest? {
        let step = processes[number].memory.cursor.nextStep(
            watermark: processes[number].memory.machine { $0.watermark }, limit: 1 + random.below(4), byteLimit: .max)
        guard case .read(var request) = step else { return nil }
        // A reader without a consumer has no claim that could be over: it needs the jump of the version.
        if configuration.promotes, configuration.withoutRule != .versionJump {
            request.claim = processes[number].memory.claim.map {
                ClaimMark(consumer: $0.name, generation: $0.generation)
            }
        }
        return request
    }

    /// Whether what was heard agrees with a snapshot.
    mutating func agree(_ number: Int, _ note: StreamMachine.Note, sequence: StreamID, version: Int) -> Bool {
        let sequence = configuration.withoutRule == .boundedHearing ? StreamID(.max) : sequence
        let now = now
        let isAgreed = processes[number].memory.machine {
            $0.agree(note, sequence: sequence, membershipVersion: version, now: now)
        }
        // What was taken back may have been higher, also where nobody could be named.
        if !isAgreed { processes[number].memory.positions = processes[number].memory.machine { $0.positions } }
        return isAgreed
    }

    private mutating func take(
        _ snapshot: Snapshot, for request: SnapshotRequest, _ noted: StreamMachine.Note, _ number: Int
    ) {
        if let claim = request.claim, snapshot.consumerGeneration != claim.generation {
            return claimIsOver(number, "the claim of its consumer is not there, or over")
        }
        let before = processes[number].memory.cursor.position
        var cursor = processes[number].memory.cursor
        let isDelivered = received(snapshot, for: request, noted, by: &cursor, number)
        guard processes[number].phase == .up else { return }
        processes[number].memory.cursor = cursor
        if isDelivered { deliver(snapshot, after: before, number) }
        settle(number)
    }

    /// Whether what the snapshot holds may be delivered. It may end the process.
    mutating func received(
        _ snapshot: Snapshot, for request: SnapshotRequest, _ noted: StreamMachine.Note, by cursor: inout ReaderCursor,
        _ number: Int
    ) -> Bool {
        let isBounded = configuration.withoutRule != .boundedHearing
        let view = ReaderCursor.View(
            membershipVersion: snapshot.membership.version, sequence: isBounded ? snapshot.sequence : StreamID(.max),
            deliveredIsThere: snapshot.deliveredIsThere,
            last: snapshot.last, isTruncated: snapshot.isTruncated,
            eras: shown(snapshot.membership).eras)
        switch cursor.received(view, for: request, heard: noted.heard) {
        case .deliver:
            _ = agree(number, noted, sequence: snapshot.sequence, version: snapshot.membership.version)
            if configuration.promotes {
                processes[number].memory.reachedIn[cursor.position] = snapshot.membership.eras.last
            }
            return true
        case .heardFalsely:
            if agree(number, noted, sequence: snapshot.sequence, version: snapshot.membership.version) {
                if endAfterLoss(number, "the sequence is at \(snapshot.sequence)") { return false }
                fail(.falseAlarm, "\(processes[number].instance) reads through \(request.through)")
            }
        case .reloadMembers:
            note(number, 22, "reloads the \(snapshot.membership.text)")
            let (now, membership) = (now, shown(snapshot.membership))
            let problem = processes[number].memory.machine { machine -> String? in
                if let problem = machine.loss(since: noted, in: membership.eras) { return problem }
                machine.take(membership, newestCommitted: snapshot.newestEvent, now: now)
                return nil
            }
            if let problem, endAfterLoss(number, problem) { return false }
        case .wentBackwards(let id, let problem), .lost(let id, let problem):
            // A snapshot of the life before may have been delivered after the process has heard of this one.
            let wasBefore = processes[number].memory.reachedIn[id].map(isOfAnotherLife) ?? false
            if endAfterLoss(number, problem, isCertain: wasBefore || isLost(id, of: cursor)) { return false }
            fail(.falseAlarm, "\(processes[number].instance) reads at \(id): \(problem)")
        }
        return false
    }

    private mutating func deliver(_ snapshot: Snapshot, after before: StreamID, _ number: Int) {
        let position = processes[number].memory.cursor.position
        // What a promotion has lost may be delivered by a snapshot from before it.
        let isOfThisLife = !configuration.promotes || snapshot.membership.eras.last == database.stream.eras.last
        if isOfThisLife { processes[number].reached = max(processes[number].reached, position) }
        history.add(Int(position.rawValue))
        note(number, 23, "has read \(snapshot.events.map(\.streamID)) and is at \(position)")
        if isOfThisLife { checkBatch(snapshot.events, after: before, through: position, number) }
        checkGiven(snapshot, number)
        guard failure == nil, !snapshot.events.isEmpty else { return }
        let batch = EventBatch(events: snapshot.events, through: position, snapshot: snapshot.mark)
        processes[number].memory.batch = batch
        if keepsTable {
            processes[number].memory.unapplied += snapshot.events.map {
                Delivered(streamID: $0.streamID, mark: $0.mark)
            }
        }
        consume(number) { try $0.receive(batch) }
    }

    mutating func checkpoint(_ number: Int) -> Bool {
        guard let claim = processes[number].memory.claim, let batch = processes[number].memory.batch else {
            return false
        }
        processes[number].memory.batch = nil
        do throws(TidemarkError) {
            let begin = configuration.withoutRule == .checkpointBeginning ? nil : processes[number].memory.begin
            let passed = batch.passed
            try database.checkpoint(
                claim, from: keepsTable ? begin : nil, at: batch.through, snapshot: batch.snapshot, passed: passed)
            if keepsTable { apply(batch, number) }
        } catch .alreadyPassed(_, _, _, let place) where keepsTable {
            takeUp(number, after: place)
        } catch {
            guard case .consumerTaken = error, prunes else {
                if endAfterLoss(number, "\(error)", isCertain: isOfAnotherLife(processes[number].memory.claimEra)) {
                    return true
                }
                fail(.falseAlarm, "\(error)")
                return true
            }
            claimIsOver(number, "\(error)")
            if processes[number].phase == .down { return true }
        }
        note(number, 24, "writes its checkpoint at \(batch.through)")
        return true
    }

    private func isOfAnotherLife(_ era: Era?) -> Bool { era != database.stream.eras.last }

    /// Its claim, or an earlier checkpoint, may be all that was lost; or its place was ignored when the stream was pruned.
    private mutating func claimIsOver(_ number: Int, _ problem: String) {
        if endAfterLoss(number, problem, isCertain: isOfAnotherLife(processes[number].memory.claimEra)) { return }
        guard prunes else { return fail(.falseAlarm, problem) }
        processes[number].memory.claim = self.claim(number)
        takeUp(number, after: processes[number].memory.claim?.position ?? 0)
    }
}
