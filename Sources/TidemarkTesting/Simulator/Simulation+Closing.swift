import Tidemark

extension Simulation {
    /// Closes and retires whom the watch says.
    mutating func look(at writers: [WriterObservation], _ number: Int, since began: Duration) {
        let tracker = processes[number].memory.tracker
        let decision = processes[number].memory.watch.look(
            at: writers, as: processes[number].instance, positions: tracker.positions, minimum: tracker.minimum,
            newest: tracker.highestKnown, from: began, to: now)
        for observed in decision.close { send(number, .close(observed)) }
        for observed in decision.retire { send(number, .retire(observed)) }
        if decision.needsWrite, decision.close.isEmpty, decision.retire.isEmpty { send(number, .checkWritable) }
    }

    /// What an answer says of whether everyone can write.
    mutating func watchWrites(_ answer: SimulatedAnswer) {
        let number = answer.request.process
        switch answer.request.body {
        case .heartbeat, .close, .retire, .checkWritable:
            if case .lost = answer.body {
                processes[number].memory.watch.interrupted(at: now)
            } else {
                processes[number].memory.watch.wrote(from: answer.request.asked, to: now)
            }
        default: break
        }
    }
}
