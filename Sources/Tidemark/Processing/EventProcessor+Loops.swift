import Logging
import Synchronization
import Tracing

/// What was read in one snapshot.
struct ReadStep: Sendable {
    let progress: ReadingProgress
    /// Nil where nothing of the snapshot may be delivered.
    let snapshot: Snapshot?
}

/// What goes on while a processor runs. Each loop ends when it is cancelled, and throws what its store threw; then it is begun
/// again.
extension EventProcessor {
    // MARK: Partitions

    func beat(_ store: any ProcessorStore, _ backoff: inout Backoff) async throws {
        try await open(store)
        var forgetting: [ProcessSighting] = []
        while !Task.isCancelled {
            let askedAt = time.now
            let places = state.withLock { $0.machine.positions }
            let look = try await store.beat(
                ProcessorBeat(process: process, forgetting: forgetting, oldest: oldestHandlers(askedAt)), of: processor)
            backoff.reset()
            let decision = change { state in
                state.machine.confirmed(askedAt: askedAt, now: time.now)
                let machine = state.machine
                let decision = state.ownership.look(
                    look.processes, look.partitions, owned: machine.owned, places: places,
                    isReleasing: machine.isReleasing, mayClaim: { machine.mayClaim($0) }, awake: time.awake)
                for partition in decision.lost { state.machine.lost(partition) }
                if let partition = decision.release { state.machine.release(partition) }
                Self.forgetLost(&state)
                return decision
            }
            if !decision.lost.isEmpty {
                logger.warning(
                    "another process has taken partitions over", metadata: ["partitions": "\(decision.lost)"])
            }
            forgetting = decision.forget
            try await markUntried(store)
            try await claim(decision.claim, store)
            try await takeRetries(look, store)
            report(look)
            try await time.sleep(until: askedAt + configuration.silenceTimeout / 5)
        }
    }

    /// Makes the processor where it is missing.
    private func open(_ store: any ProcessorStore) async throws {
        // Once it was there it is not made again: then somebody has deleted it.
        if !state.withLock({ $0.hasOpened }) {
            do {
                // A consumer of that name that is no processor yet becomes one, and its reader is stopped.
                _ = try await log.consumer(name, from: start, filter: filter)
            } catch TidemarkError.isProcessor {}
        }
        try await openProcessor(store)
        state.withLock { $0.hasOpened = true }
    }

    private func openProcessor(_ store: any ProcessorStore) async throws {
        try await store.openProcessor(processor, filter: filter, partitions: configuration.partitions)
    }

    private func oldestHandlers(_ now: Duration) -> [OldestHandler] {
        state.withLock { state in
            state.machine.owned.keys.compactMap { partition in
                state.machine.oldestRun(of: partition).map { id, since in
                    OldestHandler(
                        partition: partition, id: id, milliseconds: Int64(max(.zero, now - since) / .milliseconds(1)))
                }
            }
        }
    }

    private func claim(_ observed: [PartitionObservation], _ store: any ProcessorStore) async throws {
        if observed.isEmpty { return }
        let claims = try await store.claimPartitions(observed, of: processor, by: process)
        if claims.isEmpty { return }
        // Another filter ends all claims: one that is found now is that of these claims, for as long as they are good.
        try await openProcessor(store)
        change { state in
            // What it does not take now, because it ends, others find without a process.
            for claim in claims where state.machine.mayClaim(claim.partition) { state.machine.claimed(claim) }
        }
        readOn()
    }

    /// Events that somebody wants to be tried again.
    private func takeRetries(_ look: ProcessorLook, _ store: any ProcessorStore) async throws {
        let owned = state.withLock { $0.machine.owned }
        for partition in look.partitions {
            guard let claim = owned[partition.partition], claim == partition.claim else { continue }
            if case .parkAndHoldKey = configuration.whenExhausted {
                guard let place = state.withLock({ $0.machine.position(of: partition.partition) }) else { continue }
                let ids = Set(try await store.parkedIDs(partition: partition.partition, of: processor))
                change { $0.machine.parkedAreNow(ids, at: place, partition: partition.partition, claim: claim) }
            }
            guard partition.retries > 0 else { continue }
            let parked = try await store.takeRetries(
                partition: partition.partition, claim: claim, of: processor, limit: 100)
            let refused = change { state in
                parked.filter { parked in
                    guard let event = handled(parked) else { return true }
                    guard
                        state.machine.retry(
                            parked.streamID, key: parked.event?.event.key, partition: parked.partition, claim: claim)
                    else { return true }
                    state.lateEvents[parked.streamID] = event
                    return false
                }
            }
            // Their turn comes later.
            change { $0.machine.couldNotMark(refused.lazy.map(\.streamID)) }
            try await markUntried(store)
        }
    }

    /// Puts back the marks of what was taken in to be tried again and was not. What was dropped meanwhile has none.
    func markUntried(_ store: any ProcessorStore) async throws {
        var ids = state.withLock { $0.machine.takeUntried() }[...]
        while let id = ids.first {
            do {
                _ = try await store.retryParked([id], of: processor)
            } catch TidemarkError.notParked {
            } catch {
                change { $0.machine.couldNotMark(ids) }
                throw error
            }
            ids.removeFirst()
        }
    }

    private func handled(_ parked: ParkedEvent) -> HandledEvent? {
        if let event = parked.event { return .event(event) }
        guard let event = parked.externalEvent, case .each(_, .some) = handler else { return nil }
        return .external(event)
    }

    private func report(_ look: ProcessorLook) {
        let (owned, position, handled) = state.withLock { state in
            (state.machine.owned.count, state.machine.position, state.handledMilliseconds)
        }
        metrics.owns(partitions: owned)
        guard let position else { return }
        let newest = log.generator.watermark.minimum
        metrics.reached(position, newest: newest, handledMilliseconds: handled)
    }

    // MARK: Reading

    func read(_ store: any ProcessorStore, _ backoff: inout Backoff) async throws {
        var progress: ReadingProgress?
        while !Task.isCancelled {
            guard let place = state.withLock({ $0.machine.nextRead() }) else {
                await readingSignal.wait(until: nil, on: time)
                continue
            }
            let begin: ReadingProgress
            if let progress, progress.cursor.position == place.after {
                begin = progress
            } else {
                begin = ReadingProgress(
                    reader: log.reader, claim: nil, after: place.after, passed: place.passed, filter: filter)
            }
            guard let step = try await step(begin, from: place.after) else { continue }
            backoff.reset()
            progress = step.progress
            if let snapshot = step.snapshot {
                try take(snapshot, from: place.after, through: step.progress.cursor.position)
            }
        }
    }

    /// Waits until there is something, and reads it; nil where it was stopped because there is something to read at a lower place.
    private func step(_ begin: ReadingProgress, from place: StreamID) async throws -> ReadStep? {
        let task = Task { () async throws -> ReadStep in
            var progress = begin
            let request = try await progress.nextRequest()
            guard let snapshot = try await progress.reader.store.snapshot(of: progress.reader.stream, request) else {
                throw progress.streamIsGone
            }
            let mayDeliver = try progress.received(snapshot, last: snapshot.passed, for: request)
            return ReadStep(progress: progress, snapshot: mayDeliver ? snapshot : nil)
        }
        state.withLock { $0.reading = (task, place) }
        // A place that came since is seen here, or stops the task.
        readOn()
        defer { state.withLock { $0.reading = nil } }
        do {
            return try await withTaskCancellationHandler {
                try await task.value
            } onCancel: {
                task.cancel()
            }
        } catch is CancellationError where !Task.isCancelled {
            return nil
        }
    }

    /// There may be something to read at another place.
    func readOn() {
        readingSignal.raise()
        let task = state.withLock { state -> Task<ReadStep, any Error>? in
            guard let reading = state.reading, let next = state.machine.nextRead(), next.after < reading.after else {
                return nil
            }
            return reading.task
        }
        task?.cancel()
    }

    private func take(_ snapshot: Snapshot, from place: StreamID, through end: StreamID) throws {
        let handlesExternal = if case .each(_, .some) = handler { true } else { false }
        if !handlesExternal, let event = snapshot.externalEvents.first {
            throw TidemarkError.externalEventUnhandled(stream: log.stream, consumer: name, id: event.streamID)
        }
        var events: [EventToHandle] = []
        var handled: [HandledEvent] = []
        events.reserveCapacity(snapshot.events.count + snapshot.externalEvents.count)
        handled.reserveCapacity(events.capacity)
        var externalEvents = snapshot.externalEvents[...]
        func add(_ event: ExternalEvent) {
            events.append(EventToHandle(id: event.streamID, mark: event.mark, key: nil))
            handled.append(.external(event))
        }
        for event in snapshot.events {
            while let first = externalEvents.first, first.streamID < event.streamID {
                add(externalEvents.removeFirst())
            }
            events.append(
                EventToHandle(
                    id: event.streamID, mark: event.mark, key: event.event.key,
                    bytes: event.event.payload.count + event.event.metadataBytes))
            handled.append(.event(event))
        }
        for event in externalEvents { add(event) }
        change { state in
            let taken = state.machine.read(after: place, events, through: end, snapshot: snapshot.mark)
            for (index, partition) in taken {
                state.events[partition, default: [:]][events[index].id] = handled[index]
            }
            if state.machine.isCheckpointUrgent { checkpointSignal.raise() }
        }
    }

    // MARK: Writing

    func checkpoint(_ store: any ProcessorStore, _ backoff: inout Backoff) async throws {
        while !Task.isCancelled {
            await checkpointSignal.wait(until: nil, on: time)
            let next = time.now + configuration.checkpointInterval
            try await writeLate(store)
            try await writeCheckpoints(store)
            backoff.reset()
            while time.now < next, !state.withLock({ $0.machine.isCheckpointUrgent }), !Task.isCancelled {
                await checkpointSignal.wait(until: next, on: time)
            }
            // What was told meanwhile has been heard.
            let isMore = state.withLock { state in
                state.isDirty = state.machine.hasCheckpoints
                return state.isDirty
            }
            if isMore { checkpointSignal.raise() }
        }
    }

    func writeCheckpoints(_ store: any ProcessorStore) async throws {
        let checkpoints = state.withLock { state in
            state.isDirty = false
            return state.machine.takeCheckpoints()
        }
        if checkpoints.isEmpty { return }
        var answers: [Bool]?
        defer {
            // Where it could not be written, it is written with the next ones.
            change { state in
                for (index, checkpoint) in checkpoints.enumerated() {
                    state.machine.checkpointed(checkpoint, isOwned: answers?[index])
                }
                Self.forgetLost(&state)
            }
            readOn()
        }
        answers = try await store.checkpoint(checkpoints, of: processor)
        announce(checkpoints)
    }

    /// Wakes those that wait for the consumer: they ask the database, which knows where the least partition is.
    private func announce(_ checkpoints: [ProcessorMachine.Checkpoint]) {
        guard let position = checkpoints.lazy.compactMap(\.passage?.position).max() else { return }
        log.generator.announceCheckpoint(of: name, at: position)
    }

    func writeLate(_ store: any ProcessorStore) async throws {
        let endings = state.withLock { $0.machine.takeLateEndings() }
        if endings.isEmpty { return }
        do {
            try await store.endRetries(endings, of: processor)
        } catch {
            change { $0.machine.couldNotWriteLate(endings) }
            throw error
        }
        change { state in
            for ending in endings { state.machine.wroteLate(ending) }
        }
    }

    func count(_ store: any ProcessorStore, _ backoff: inout Backoff) async throws {
        while !Task.isCancelled {
            await countingSignal.wait(until: nil, on: time)
            let counts = state.withLock { $0.machine.takeCounts(now: time.now) }
            if counts.isEmpty { continue }
            var answers: [[StreamID: Int]?]?
            defer {
                change { state in
                    for (index, count) in counts.enumerated() {
                        // The claim is over: the next look at the partitions says so.
                        if let answers, answers[index] == nil { state.machine.lost(count.partition) }
                        state.machine.counted(count, answers?[index])
                    }
                    Self.forgetLost(&state)
                }
            }
            answers = try await store.countStarts(counts, of: processor)
            backoff.reset()
        }
    }

    // MARK: Time

    func keepTime(_: any ProcessorStore, _: inout Backoff) async throws {
        while !Task.isCancelled {
            let deadline = state.withLock { state in
                state.timer = state.machine.nextDeadline
                return state.timer
            }
            await timerSignal.wait(until: deadline, on: time)
            change { $0.machine.timePassed(now: time.now) }
        }
    }

    // MARK: Tracing

    /// In a span that is linked to the one in which the event was persisted.
    func traced(_ event: PersistedEvent, _ body: () async throws -> Void) async throws {
        if event.event.metadata.isEmpty { return try await body() }
        try await withSpan("\(name) handle", ofKind: .consumer) { span in
            span.addLink(SpanLink(context: event.event.serviceContext, attributes: [:]))
            try await body()
        }
    }
}
