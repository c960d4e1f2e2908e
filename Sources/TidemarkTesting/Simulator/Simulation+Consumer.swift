import Tidemark

/// In one of four histories a reader keeps a table: it does something with its events in the transaction of the checkpoint, whose
/// outcome it is not always told.
extension Simulation {
    static func keepsTable(seed: UInt64, _ configuration: SimulationConfiguration) -> Bool {
        guard configuration.consumer == nil else { return false }
        guard let rule = configuration.withoutRule else {
            let scattered = scattered(seed, configuration)
            return configuration.promotes ? scattered / 256 % 4 == 0 : scattered % 4 == 1
        }
        return rule == .checkpointBeginning
    }

    /// The transaction is committed.
    mutating func apply(_ batch: EventBatch, _ number: Int) {
        for event in processes[number].memory.unapplied {
            let id = event.streamID
            processes[number].table[id, default: 0] += 1
            if processes[number].table[id, default: 0] > 1 {
                fail(.appliedTwice, "\(processes[number].name) has done the same for event \(id) twice")
            }
            // What a promotion has lost below a later event that is there nobody can tell; the ID stays nobody's.
            if !database.stream.holds(event), id > database.stream.eras.last?.after ?? 0 {
                fail(.wrongBatch, "\(processes[number].name) has done something for event \(id), which is not there")
            }
        }
        checkTable(number)
        if random.chance(30) {
            // It does not hear of it, and does the same again.
            note(number, 42, "is not told that its transaction at \(batch.through) is committed")
            processes[number].memory.batch = batch
        } else {
            takeUp(number, after: batch.through)
        }
    }

    /// Everything at or below the checkpoint was done once, as the database has it, but for what was pruned.
    private mutating func checkTable(_ number: Int) {
        guard let row = database.stream.consumers[processes[number].consumerName] else { return }
        let table = processes[number].table
        let missing = database.stream.events.first { event in
            event.streamID > row.start && event.streamID <= row.position && table[event.streamID] == nil
        }
        guard let missing else { return }
        fail(
            .skippedEvent,
            "\(processes[number].name) is at \(row.position), and nothing was done for \(missing.streamID)")
    }

    /// What is at or below the place was done.
    mutating func takeUp(_ number: Int, after place: StreamID) {
        processes[number].memory.unapplied.removeAll { $0.streamID <= place }
        processes[number].memory.begin = place
    }
}

/// The users' own consumers.
extension Simulation {
    /// What a consumer throws ends the simulation.
    mutating func consume(_ number: Int, _ body: (inout any SimulationConsumer) throws -> Void) {
        guard var consumer = processes[number].consumer else { return }
        do {
            try body(&consumer)
        } catch {
            fail(.consumer, "the consumer of \(processes[number].name): \(error)")
        }
        processes[number].consumer = consumer
    }

    mutating func begin(_ number: Int, after checkpoint: StreamID) {
        consume(number) { try $0.begin(after: checkpoint) }
    }

    /// At the end a reader that is behind where it had been before a crash comes there once more, so that everything
    /// through `reached` was given to the consumer after its last checkpoint, or before that.
    mutating func verifyConsumer(_ number: Int) {
        guard processes[number].consumer != nil else { return }
        var cursor = processes[number].memory.cursor.position
        if processes[number].phase != .up {
            cursor = database.stream.consumers[processes[number].consumerName]?.position ?? 0
            begin(number, after: cursor)
        }
        let reached = processes[number].reached
        let given = events.filter { $0.streamID <= reached }
        let rest = given.filter { $0.streamID > cursor }
        if !rest.isEmpty {
            let batch = EventBatch(
                events: rest, through: reached,
                snapshot: SnapshotMark(newestCommit: database.stream.commitNumber))
            consume(number) { try $0.receive(batch) }
        }
        consume(number) { try $0.verify(given, through: reached) }
    }
}
