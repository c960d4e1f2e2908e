import Tidemark

/// In one of four histories a reader keeps a table: it does something with its events in the transaction of the checkpoint, whose
/// outcome it is not always told.
extension Simulation {
    static func keepsTable(seed: UInt64, _ configuration: SimulationConfiguration) -> Bool {
        guard configuration.consumer == nil, !configuration.promotes else { return false }
        guard let rule = configuration.withoutRule else { return SplitMix64.mixed(seed) % 4 == 1 }
        return rule == .checkpointBeginning
    }

    /// The transaction is committed.
    mutating func apply(_ batch: EventBatch, _ number: Int) {
        for id in processes[number].memory.unapplied {
            processes[number].table[id, default: 0] += 1
            if processes[number].table[id, default: 0] > 1 {
                fail(.appliedTwice, "\(processes[number].name) has done the same for event \(id) twice")
            }
        }
        if random.chance(30) {
            // It does not hear of it, and does the same again.
            note(number, 42, "is not told that its transaction at \(batch.through) is committed")
            processes[number].memory.batch = batch
        } else {
            takeUp(number, after: batch.through)
        }
    }

    /// What is at or below the place was done.
    mutating func takeUp(_ number: Int, after place: StreamID) {
        processes[number].memory.unapplied.removeAll { $0 <= place }
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
