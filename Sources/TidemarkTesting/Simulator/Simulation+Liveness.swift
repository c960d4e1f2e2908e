import Tidemark

extension Simulation {
    private typealias Timing = SimulationConfiguration.Timing
    private static var tick: Duration { .milliseconds(50) }

    /// From now on every message arrives, who is stopped or crashed stays so, and nobody begins anything new: the
    /// minimum reaches the newest event in time, for everybody who runs.
    mutating func runWithoutFaults() throws(SimulationFailure) {
        history.add("the faults stop")
        cutLinks = []
        endWhatWasBegun()
        endTheReplaced()
        let newest = database.stream.newestEvent
        let start = now
        for number in processes.indices where processes[number].phase == .up {
            processes[number].memory.machine { $0.run(now: start) }
        }
        while let behind = processes.first(where: { $0.isActive && !$0.hasReached(newest) }) {
            if now - start > Timing.bound {
                let minimum = behind.memory.machine { $0.watermark }.minimum
                fail(
                    .stuck,
                    """
                    \(Timing.bound) after the last fault the minimum of \(behind.instance)(\(behind.number)) is at \
                    \(minimum), its reader at \(behind.memory.cursor.position), and the newest event at \(newest); \
                    \(database.stream.membership.text)
                    """)
                // Where a rule is switched off, that is no failure; but it does not go on for ever.
                break
            }
            try throwFailure()
            now += Self.tick
            for number in processes.indices where processes[number].isActive {
                _ = expire(number)
            }
            goOnWithoutFaults()
        }
        try throwFailure()
        try workWithoutFaults(to: newest)
        history.add("all have reached \(newest) after \(now - start)")
    }

    /// What is on its way arrives, and who reads reads. Where a process ends because commits are lost somebody starts the reader
    /// again, so that somebody runs.
    mutating func goOnWithoutFaults() {
        deliverEverything()
        endTheReplaced()
        if configuration.promotes, processes[processes.count - 1].phase == .down {
            start(processes.count - 1)
            let now = now
            processes[processes.count - 1].memory.machine { $0.run(now: now) }
        }
        for number in processes.indices where processes[number].isActive && processes[number].hasReader {
            for _ in 0..<64 where read(number) { stepCount += 1 }
        }
    }

    /// The reader runs, so that somebody does, and callers commit what they hold.
    private mutating func endWhatWasBegun() {
        let reader = processes.count - 1
        if processes[reader].phase == .down { start(reader) }
        processes[reader].isStopped = false
        for _ in 0..<2 {
            for number in processes.indices where processes[number].isActive {
                while processes[number].memory.writer != nil,
                    processes[number].memory.scopes.contains(where: { $0.phase == .held })
                {
                    commitScope(of: number)
                }
            }
            deliverEverything()
        }
    }

    /// A process whose name another one took ends.
    private mutating func endTheReplaced() {
        for number in processes.indices where processes[number].isActive && processes[number].memory.isFailed {
            crash(number, losingRequests: false)
        }
    }

    /// In the order in which it was sent; what is for somebody who is stopped stays.
    private mutating func deliverEverything() {
        for _ in 0..<10_000 {
            stepCount += 1
            if !requests.isEmpty {
                serve(requests.removeFirst())
            } else if let index = answers.firstIndex(where: { !processes[$0.request.process].isStopped }) {
                receive(answers.remove(at: index))
            } else if let index = announcements.firstIndex(where: { processes[$0.to].isActive }) {
                hear(announcements.remove(at: index))
            } else {
                return
            }
        }
        fail(.stuck, "messages go to and fro without end")
    }
}

extension SimulatedProcess {
    fileprivate func hasReached(_ newest: StreamID) -> Bool {
        let minimum = memory.machine { $0.watermark }.minimum
        return minimum >= newest && minimum < StreamID(Simulation.lie)
            && (!hasReader || memory.cursor.position >= newest)
    }
}
