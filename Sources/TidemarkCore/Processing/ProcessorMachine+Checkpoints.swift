/// What is written into the database, how the process ends, and what people may want to know.
extension ProcessorMachine {
    /// What is to be written, in one transaction; each is answered with ``checkpointed(_:isOwned:)``.
    public mutating func takeCheckpoints() -> [Checkpoint] {
        var checkpoints: [Checkpoint] = []
        for index in inOrder where !partitions.values[index].isCheckpointing {
            let owned = partitions.values[index]
            let releases = owned.isReleasing && owned.runs == 0 && owned.lateEndings == 0
            let passage = owned.window.passage
            guard passage != nil || releases else { continue }
            partitions.values[index].isCheckpointing = true
            checkpoints.append(
                Checkpoint(partition: partitions.keys[index], claim: owned.claim, passage: passage, releases: releases))
        }
        return checkpoints
    }

    /// Whether there is so much to be written that it should not wait.
    public var isCheckpointUrgent: Bool {
        partitions.values.contains { owned in
            (owned.isReleasing && owned.runs == 0) || owned.window.count > configuration.windowEvents / 2
        }
    }

    /// Whether there is something to be written.
    public var hasCheckpoints: Bool {
        !lateEndings.isEmpty
            || partitions.values.contains { $0.window.reached > $0.window.position || ($0.isReleasing && $0.runs == 0) }
    }

    /// - Parameter isOwned: whether the claim was the newest, and it is written; nil where the database could not be asked.
    public mutating func checkpointed(_ checkpoint: Checkpoint, isOwned: Bool?) {
        guard let index = partitions.index(forKey: checkpoint.partition),
            partitions.values[index].claim == checkpoint.claim
        else {
            if isOwned == true { parked += checkpoint.passage?.parked ?? [] }
            return
        }
        partitions.values[index].isCheckpointing = false
        guard let isOwned else { return }
        guard isOwned else { return lost(checkpoint.partition) }
        if let passage = checkpoint.passage {
            parked += partitions.values[index].window.checkpointed(passage.position)
        }
        if checkpoint.releases {
            untried += partitions.values[index].window.lateIDs
            uncountedCount -= partitions.values[index].uncounted.count
            partitions[checkpoint.partition] = nil
        }
    }

    /// What was parked since the last call, with a checkpoint or in the transaction of a handler: people want to know.
    public mutating func takeParked() -> [ParkingNote] {
        defer { parked = [] }
        return parked
    }

    /// What became of parked events that were tried again: to be written, and answered with ``wroteLate(_:)``.
    public mutating func takeLateEndings() -> [LateEnding] {
        defer { lateEndings = [] }
        return lateEndings
    }

    /// What became of a parked event is in the database, or was refused. It counts for the claim that it names alone.
    public mutating func wroteLate(_ ending: LateEnding) {
        guard let index = partitions.index(forKey: ending.partition), partitions.values[index].claim == ending.claim
        else { return }
        partitions.values[index].lateEndings -= 1
    }

    /// They are asked for again.
    public mutating func couldNotWriteLate(_ endings: [LateEnding]) {
        lateEndings = endings.filter { partitions[$0.partition]?.claim == $0.claim } + lateEndings
    }

    /// Parked events that were to be tried again and will not be under the claims that took them in: their marks were taken away,
    /// and are to be put back, so that whoever has the partition next tries them.
    public mutating func takeUntried() -> [StreamID] {
        defer { untried = [] }
        return untried
    }

    /// They could not be marked; they are asked for again.
    public mutating func couldNotMark(_ ids: some Sequence<StreamID>) { untried += ids }

    // MARK: Ending

    /// Nothing more is started; what runs goes on, and its partitions are given back after it.
    public mutating func stop() {
        isStopping = true
        for index in partitions.values.indices { partitions.values[index].isReleasing = true }
    }

    /// Handlers that have not ended are cancelled.
    public mutating func cancelAll() {
        for number in runs.keys.sorted() { cancel(number) }
    }

    /// The process ends: what it was to try again and has not begun is left to others. What is being handled still is not: it may
    /// be what the process does not come to an end with.
    public mutating func leave() {
        let running = Set(runs.values.lazy.filter(\.item.isLate).map(\.item.id))
        for index in inOrder { untried += partitions.values[index].window.lateIDs.filter { !running.contains($0) } }
    }

    /// Whether no handler runs.
    public var isIdle: Bool { runs.isEmpty }

    // MARK: For people

    /// How many handlers run, and when the oldest of them was started.
    public var running: (count: Int, since: Duration?) { (runs.count, runs.values.lazy.map(\.startedAt).min()) }

    /// How many of them run over their limit.
    public var overdue: Int { overdueCount }

    /// The partition's oldest handler: its event, and since when it runs.
    public func oldestRun(of partition: Int) -> (id: StreamID, since: Duration)? {
        runs.values.filter { $0.partition == partition }.min { ($0.startedAt, $0.item.id) < ($1.startedAt, $1.item.id) }
            .map { ($0.item.id, $0.startedAt) }
    }

    /// The durable positions of the partitions that are owned.
    public var positions: [Int: StreamID] { partitions.mapValues(\.window.position) }

    /// The durable position of a partition that is owned.
    public func position(of partition: Int) -> StreamID? { partitions[partition]?.window.position }

    /// The least durable position of the partitions that are owned; nil where there are none.
    public var position: StreamID? { partitions.values.lazy.map(\.window.position).min() }
}
