import Tidemark

/// What the shell around a state machine does in production.
extension Simulation {
    /// After something went into a process's machine: does what the machine wants, and checks it.
    mutating func settle(_ number: Int) {
        carryOut(number)
        check(number)
    }

    /// Does what the machine wants: as requests, announcements and steps of their own.
    mutating func carryOut(_ number: Int) {
        let machine = processes[number].memory.machine
        // What is done may make the machine want something else at once.
        for _ in 0..<16 {
            let directives = machine { $0.takeDirectives() }
            if directives.isEmpty { return }
            if directives.contains(.report) { take(machine { $0.takeReports() }, number) }
            if directives.contains(.send) { send(machine { $0.takeMessages() }, from: number) }
            if directives.contains(.readSequence) { readSequence(number) }
            if directives.contains(.abandon) { askWhatBecame(number) }
            if directives.contains(.heartbeat), !beat(number) { machine { $0.heartbeatEnded() } }
            if directives.contains(.reconcile) || directives.contains(.catchUp) { reconcile(number) }
            if directives.contains(.closeWriters) { closeWriters(number) }
            if directives.contains(.rejoin) { rejoin(number) }
        }
        fail(.stuck, "the machine of \(processes[number].name) wants something without end")
    }

    private mutating func take(_ reports: [StreamMachine.Report], _ number: Int) {
        for case .falseNews(let news, _) in reports {
            note(number, 25, "takes back what \(news.writers.map(\.description).sorted()) said")
            // What was taken back may have been higher.
            processes[number].memory.positions = processes[number].memory.machine { $0.positions }
        }
    }

    /// Closes and retires the writers that the machine names.
    private mutating func closeWriters(_ number: Int) {
        guard let decision = processes[number].memory.machine({ $0.takeDecision() }) else { return }
        for observed in decision.close { send(number, .close(observed)) }
        for observed in decision.retire { send(number, .retire(observed)) }
        if decision.needsWrite, decision.close.isEmpty, decision.retire.isEmpty { send(number, .checkWritable) }
        processes[number].memory.machine { $0.closingEnded(canWrite: true) }
    }

    /// What an answer says of whether everyone can write.
    mutating func watchWrites(_ answer: SimulatedAnswer) {
        let machine = processes[answer.request.process].memory.machine
        let (asked, now) = (answer.request.asked, now)
        switch answer.request.body {
        case .heartbeat, .close, .retire, .checkWritable:
            if case .lost = answer.body {
                machine { $0.writeFailed(at: now) }
            } else {
                machine { $0.wrote(from: asked, to: now) }
            }
        default: break
        }
    }
}
