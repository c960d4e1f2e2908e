import Tidemark

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
