import DequeModule
public import TidemarkCore
import TidemarkWire

extension RowFeed {
    /// What is to be done now; nil while something is being done, after a failure until ``resume()``, and when there is
    /// nothing.
    public mutating func next() -> Step? {
        guard work == nil, !isPaused else { return nil }
        work = chooseStep()
        return work
    }

    private mutating func chooseStep() -> Step? {
        if needsPositions {
            needsPositions = false
            askedRequest = lastRequest
            return .readPositions
        }
        while true {
            if let step = goOnCatchingUp() { return step }
            guard let item = queue.popFirst() else { return nil }
            queuedBytes -= item.size
            if let update = take(item) { return .handle(update) }
        }
    }

    /// What of a queued item is to be handed on; nil when that is nothing, or rows have to be fetched first.
    private mutating func take(_ item: Item) -> StreamUpdate? {
        // One that is not known any more went with its epoch.
        guard let heard = writers[item.writer] else { return nil }
        guard item.highest > heard.done else {
            counts.oldNews += 1
            return nil
        }
        switch item {
        case .update(let update):
            return update
        case .position(let position):
            guard position.previous <= heard.done else {
                counts.gaps += 1
                want(position.speaker.writer, through: item.highest)
                return nil
            }
            return StreamUpdate(writer: position.speaker.writer, token: position.new, rows: [])
        }
    }

    // MARK: Catching up

    private mutating func goOnCatchingUp() -> Step? {
        while true {
            if let step = nextOfCatchUp() { return step }
            guard let writer = waitingCatchUps.popFirst() else { return nil }
            guard let through = catchUps.removeValue(forKey: writer), let heard = writers[writer] else { continue }
            if through > heard.done { catchUp = CatchUp(writer: writer, through: through) }
        }
    }

    private mutating func nextOfCatchUp() -> Step? {
        guard let current = catchUp, let heard = writers[current.writer] else {
            catchUp = nil
            return nil
        }
        while let update = catchUp?.fetched.popFirst() {
            if update.token > heard.done { return .handle(update) }
        }
        if heard.done < current.through {
            return .fetch(
                current.writer, after: heard.done, through: current.through, limit: limits.fetchedUpdates)
        }
        catchUp = nil
        backoff.reset()
        return nil
    }

    // MARK: What became of a step

    /// Where each writer is, as the source says; where ``Hearing/members`` are heard, these are all of them.
    ///
    /// The first answer is where the feed begins; what later ones have beyond that was missed.
    public mutating func read(_ positions: [Writer: StreamID]) {
        precondition(work == .readPositions, "positions were not asked for")
        work = nil
        switch hearing {
        case .members:
            for writer in writers.keys where positions[writer] == nil { forget(writer, unlessReplacedIn: positions) }
        case .everyone:
            named = Set(positions.keys.map(\.instance))
        }
        for (writer, position) in positions where writer.instance != own {
            admit(writer, in: positions)
            guard let heard = writers[writer] else { continue }
            if !hasPositions {
                writers[writer] = begun(heard, at: max(heard.done, position))
                continue
            }
            if hearing == .everyone { compare(writer, heard, with: position) }
            want(writer, through: position)
        }
        hasPositions = true
        let found = strangers.answered(through: askedRequest) { writers[$0] != nil }
        for (writer, said) in found {
            if let position = said.position { received(position) }
            if let row = said.highestRow { want(writer, through: row) }
        }
    }

    private func begun(_ heard: HeardWriter, at position: StreamID) -> HeardWriter {
        var begun = HeardWriter(done: position)
        begun.queued = max(heard.queued, position)
        begun.isOpen = heard.isOpen
        return begun
    }

    /// Who is named by the source is heard, beside others of the same name that it names, and a newer epoch that anybody
    /// may have made up is not.
    private mutating func admit(_ writer: Writer, in positions: [Writer: StreamID]) {
        if writers[writer] != nil { return }
        if hearing == .everyone, writer.epoch > 0, let epoch = epochs[writer.instance] {
            let other = Writer(writer.instance, epoch: epoch)
            if positions[other] != nil {
                writers[writer] = HeardWriter(done: 0)
                epochs[writer.instance] = max(epoch, writer.epoch)
                return
            }
            if epoch > writer.epoch { forget(other) }
        }
        if (epochs[writer.instance] ?? -1) < writer.epoch || hearing == .everyone { add(writer) }
    }

    /// Sets a writer back that is behind what was heard of it: its stream began again, as one that is kept in memory does
    /// with its process; or somebody said what is not so. Everything that is not sure is fetched, so that a row may come
    /// twice, and none is left out. (A stream that began again and is further than before when the source is asked cannot
    /// be told from one that went on.)
    private mutating func compare(_ writer: Writer, _ heard: HeardWriter, with position: StreamID) {
        guard position < heard.done else {
            writers[writer]?.agreed = heard.done
            return
        }
        counts.setBack += 1
        // Beyond the last row there were only positions; before what was agreed on, it is another life of the stream.
        let sure =
            if position >= heard.rows { heard.rows } else if position >= heard.agreed { heard.agreed } else {
                min(0, position)
            }
        var changed = HeardWriter(done: sure)
        changed.isOpen = heard.isOpen
        writers[writer] = changed
        catchUps[writer] = nil
        if catchUp?.writer == writer { catchUp = nil }
        queue = queue.filter { $0.writer != writer }
        queuedBytes = queue.reduce(0) { $0 + $1.size }
    }

    /// One that is no member any more is forgotten, unless a newer epoch of its name goes on where it was.
    private mutating func forget(_ writer: Writer, unlessReplacedIn positions: [Writer: StreamID]) {
        let isReplaced = positions.keys.contains { $0.instance == writer.instance && $0.epoch > writer.epoch }
        if !isReplaced { forget(writer) }
    }

    /// The answer to ``Step/fetch(_:after:through:limit:)``.
    ///
    /// - Parameter isComplete: whether there is nothing more up to the token that was asked for.
    /// - Throws: ``InvalidStreamUpdates`` when it cannot be right; then the step is not done and ``failed(random:)`` is
    ///   to be called.
    public mutating func fetched(_ updates: [StreamUpdate], isComplete: Bool) throws(InvalidStreamUpdates) {
        guard case .fetch(let writer, let after, let through, _) = work else {
            preconditionFailure("nothing was asked for")
        }
        var last = after
        for update in updates {
            guard update.writer == writer, update.token > last, update.token <= through else {
                throw .unexpected(token: update.token, after: last, through: through)
            }
            last = update.token
        }
        guard isComplete || !updates.isEmpty else { throw .noProgress(after: after) }
        work = nil
        catchUp?.fetched.append(contentsOf: updates)
        if isComplete, last < through {
            catchUp?.fetched.append(StreamUpdate(writer: writer, token: through, rows: []))
        }
    }

    /// The update was handed on, and is done.
    public mutating func handled() {
        guard case .handle(let update) = work else { preconditionFailure("nothing was handed on") }
        work = nil
        backoff.reset()
        if let heard = writers[update.writer] {
            writers[update.writer]?.done = max(heard.done, update.token)
            if !update.rows.isEmpty { writers[update.writer]?.rows = max(heard.rows, update.token) }
        }
    }

    /// The step failed. What it was about is asked for again after the delay, which grows with each failure in a row;
    /// ``resume()`` is to be called then.
    ///
    /// - Parameter random: uniform in 0..<1.
    public mutating func failed(random: Double) -> Duration {
        switch work {
        case .readPositions: needsPositions = true
        case .handle(let update): want(update.writer, through: max(update.token, catchUp?.through ?? update.token))
        case .fetch(let writer, _, let through, _): want(writer, through: through)
        case nil: preconditionFailure("nothing was being done")
        }
        catchUp = nil
        work = nil
        isPaused = true
        return backoff.nextDelay(random: random)
    }

    public mutating func resume() {
        isPaused = false
    }
}
