import Tidemark

/// In one of four histories the processes that read run a processor too: its partitions go from one to another when they crash,
/// are stopped or are put back, beside everything else.
extension Simulation {
    static func runsProcessor(seed: UInt64, _ configuration: SimulationConfiguration) -> Bool {
        guard configuration.consumer == nil else { return false }
        guard let rule = configuration.withoutRule else { return scattered(seed, configuration) / 4 % 4 == 0 }
        return [.claimCompared, .lowestNotDone, .checkpointBefore].contains(rule)
    }

    /// In some histories a process that is silent soon loses its partitions, in others only one that is gone does.
    static func workers(seed: UInt64, without rule: SimulationConfiguration.Rule?) -> SimulatedWorker.Configuration {
        SimulatedWorker.Configuration(
            processor: SimulatedDatabase.processor, partitions: SimulatedDatabase.partitions,
            timeout: [.seconds(2), .seconds(6), .seconds(30)][Int(SplitMix64.mixed(seed) / 16 % 3)],
            claimsAnything: rule == .claimCompared, passesHighest: rule == .lowestNotDone,
            missesLostCheckpoints: rule == .checkpointBefore)
    }

    /// A process that begins to read.
    mutating func beginWorking(_ number: Int) {
        guard runsProcessor, processes[number].hasReader else { return }
        lastWorker += 1
        processes[number].memory.worker = SimulatedWorker(lastWorker, seed: seed, workers, &random, now: now)
    }

    /// What processes do for their partitions: a few things beside each step, so that they come to something.
    mutating func workNowAndThen() {
        guard runsProcessor else { return }
        timePassesForWorkers()
        for _ in 0..<random.below(5) { workOnce() }
    }

    private mutating func workOnce() {
        guard let number = anyProcess(where: { $0.isActive && $0.memory.worker != nil }),
            let action = processes[number].memory.worker?.nextAction(&random)
        else { return }
        _ = work(number, action, succeeds: random.chance(80))
    }

    /// Whoever goes on after it was stopped sees first how late it is.
    private mutating func timePassesForWorkers() {
        for number in processes.indices where processes[number].isActive {
            processes[number].memory.worker?.timePassed(now)
        }
        let (row, era) = (database.contents.row(of: SimulatedDatabase.processor), database.stream.eras.last)
        // Whoever moves the processor by hand, or prunes beyond it, ends claims while handlers run.
        let endsByHand = prunes
        require(
            SimulatedEffects.overlap(
                of: processes.compactMap { process in
                    process.isActive ? process.memory.worker.map { (process.number, $0) } : nil
                },
                counting: { worker, run in
                    worker.era == era && !endsByHand || row?.isGood(run, of: worker) ?? false
                }))
    }

    /// Whether it did anything. Where its partitions are below what was pruned, somebody moves the processor, and it ends.
    private mutating func work(_ number: Int, _ action: SimulatedWorker.Action, succeeds: Bool) -> Bool {
        guard var worker = processes[number].memory.worker else { return false }
        let now = now
        do throws(TidemarkError) {
            switch action {
            case .beat: try database.work { database throws(TidemarkError) in try worker.beat(&database, now) }
            case .takeLook: worker.takeLook(now)
            case .claim: try database.work { database throws(TidemarkError) in try worker.claim(&database) }
            case .count: try database.work { database throws(TidemarkError) in try worker.count(&database, now) }
            case .read: return try read(number, &worker)
            case .start:
                guard let run = worker.start(now) else {
                    // What it may not start any more is gone.
                    processes[number].memory.worker = worker
                    return false
                }
                // What is lost, or was claimed in a life that is lost, may be handled in any order.
                let isGood = database.contents.row(of: SimulatedDatabase.processor)?.isGood(run, of: worker) ?? false
                if !configuration.promotes || isGood && database.stream.holds(run.event) {
                    require(effects.order(run, of: worker, database.contents))
                }
                note(number, 45, "handles \(run.event.streamID) of partition \(run.partition)")
            case .end:
                guard let index = anyIndex(of: worker.runs.count) else { return false }
                effects.handle(
                    worker.end(index, succeeds: succeeds, random: Double(random.below(1_000)) / 1_000, now))
            case .checkpoint:
                let handled = effects.handled
                let isWritten = try database.work { database throws(TidemarkError) in
                    try worker.checkpoint(&database, handled: handled)
                }
                if isWritten { require(effects.passed(workers, database.contents)) }
            }
            processes[number].memory.worker = worker
            if action == .start { timePassesForWorkers() }
            return true
        } catch .pruned(_, _, let through) where prunes {
            moveProcessor(number, after: through)
        } catch {
            let hasPassedLost = processes[number].memory.worker?.hasPassedLost(in: database.stream) ?? false
            if endAfterLoss(number, "its processor: \(error)", isCertain: hasPassedLost) { return true }
            fail(.falseAlarm, "\(processes[number].name) runs the processor: \(error)")
        }
        return true
    }

    /// The next part of reading, as for a reader: the request, and then its snapshot.
    private mutating func read(_ number: Int, _ worker: inout SimulatedWorker) throws(TidemarkError) -> Bool {
        guard let (request, noted) = processes[number].memory.workerReading.take() else {
            guard let place = worker.nextRead() else { return false }
            if processes[number].memory.workerCursor?.position != place.after {
                processes[number].memory.workerCursor = ReaderCursor(after: place.after, passed: place.passed)
            }
            let noted = processes[number].memory.machine { $0.note() }
            let step = processes[number].memory.workerCursor?.nextStep(
                watermark: noted.watermark, limit: 1 + random.below(4), byteLimit: .max)
            processes[number].memory.worker = worker
            guard case .read(let request) = step else { return false }
            processes[number].memory.workerReading = (request, noted)
            return true
        }
        let snapshot = try database.contents.snapshot(of: SimulatedDatabase.stream, request)
        guard var cursor = processes[number].memory.workerCursor, let snapshot else { return false }
        let isDelivered = received(snapshot, for: request, noted, by: &cursor, number)
        // It may have ended over it.
        guard processes[number].memory.worker != nil else { return true }
        processes[number].memory.workerCursor = cursor
        if isDelivered {
            worker.read(after: request.after, snapshot.events, through: cursor.position, snapshot: snapshot.mark)
            note(number, 46, "has read \(snapshot.events.map(\.streamID)) for its handlers")
        }
        processes[number].memory.worker = worker
        return true
    }

    /// Somebody moves the processor by hand to where the stream begins.
    private mutating func moveProcessor(_ number: Int, after through: StreamID) {
        note(number, 47, "ends its processor, which is moved to \(through)")
        let ended = processes[number].memory.worker.take()
        processes[number].memory.workerReading = nil
        do throws(TidemarkError) {
            if let ended {
                try database.work { database throws(TidemarkError) in
                    try database.leaveProcessor(SimulatedDatabase.processor, process: ended.id)
                }
            }
            let place = database.stream.consumers[SimulatedDatabase.processor.consumer]?.position ?? 0
            if place < database.stream.pruned.through {
                try database.moveConsumer(
                    SimulatedDatabase.processor.consumer, to: .after(database.stream.pruned.through))
            }
        } catch {
            fail(.falseAlarm, "\(error)")
        }
        beginWorking(number)
    }

    private mutating func require(_ problem: SimulatedEffects.Problem?) {
        guard let problem else { return }
        switch problem.kind {
        case .twoHandlersOfOneKey: fail(.twoHandlersOfOneKey, problem.text)
        case .outOfOrder: fail(.outOfOrder, problem.text)
        case .passedUnhandled: fail(.passedUnhandled, problem.text)
        }
    }

    /// No event commits at or below the place of its partition.
    mutating func checkPartition(of commit: SimulatedDatabase.Commit) {
        guard runsProcessor, let row = database.contents.row(of: SimulatedDatabase.processor),
            case .event(let event) = database.stream.rows[commit.id]
        else { return }
        let number = PartitionHash.partition(ofKey: event.event.key, id: commit.id, of: row.partitions.count)
        if commit.id <= row.partitions[number].position {
            fail(
                .skippedEvent,
                "\(commit.writer) commits \(commit.id), and partition \(number) is at \(row.partitions[number].position)"
            )
        }
    }

    /// The faults have stopped: a partition without an owner finds one, and all of them come to the newest event in time.
    mutating func workWithoutFaults(to newest: StreamID) throws(SimulationFailure) {
        let start = now
        while let row = database.contents.row(of: SimulatedDatabase.processor),
            row.partitions.contains(where: { $0.position < newest })
        {
            // Twice: a process that begins after somebody moved the processor does not know who is silent since when.
            if now - start > workers.timeout * 2 + .seconds(5) {
                fail(
                    .stuck,
                    "the processor's partitions are at \(row.partitions.map(\.position)) of \(newest), with the owners "
                        + "\(row.partitions.map { $0.owner?.rawValue ?? 0 })")
                break
            }
            now += .milliseconds(50)
            stepCount += 1
            timePassesForWorkers()
            // Somebody may still find out that commits are lost, and begin anew.
            if configuration.promotes {
                for number in processes.indices where processes[number].isActive { _ = expire(number) }
                goOnWithoutFaults()
            }
            for number in processes.indices where processes[number].isActive {
                for action in SimulatedWorker.Action.allCases {
                    while work(number, action, succeeds: true), action == .start || action == .end {}
                }
            }
            try throwFailure()
        }
        try throwFailure()
    }
}

extension InMemoryDatabase.ProcessorRow {
    /// Whether the claim that a handler runs under is the newest of its partition.
    func isGood(_ run: SimulatedWorker.Run, of worker: SimulatedWorker) -> Bool {
        partitions[run.partition].claim == run.claim && partitions[run.partition].owner == worker.id
    }
}
