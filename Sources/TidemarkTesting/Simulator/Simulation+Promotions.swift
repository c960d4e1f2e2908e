import Tidemark

/// A copy that lags takes over while processes run. What it does not have is lost, and whoever has seen something of that must
/// notice it: in production it ends with an error, and here with a crash.
extension Simulation {
    /// Whether the process has seen that the newest incarnation has begun. What it holds until then may be of a life that is lost.
    func isOfThisLife(_ number: Int) -> Bool {
        processes[number].memory.machine { $0.era } == database.stream.eras.last
    }

    mutating func promoteCopy() -> Bool {
        guard let begin = database.promote() else { return false }
        note(processes.count, 43, "is lost; its copy takes over, and begins above \(begin)")
        // The old one answers nobody any more.
        for request in requests where !request.isOrphan {
            answers.append(SimulatedAnswer(request: request, body: .lost))
        }
        requests.removeAll()
        for index in answers.indices { answers[index].body = .lost }
        beginAnotherLife(after: begin)
        for number in processes.indices { processes[number].table = processes[number].tableOfCopy }
        return true
    }

    /// What was asked of the database, or read from it, shows that it has lost what the process knew. False where nothing is
    /// lost, and the process is wrong.
    ///
    /// - Parameter isCertain: it is about a join or an event that is not there, which may be all that was lost.
    mutating func endAfterLoss(_ number: Int, _ problem: String, isCertain: Bool = false) -> Bool {
        guard configuration.promotes, isCertain || !isOfThisLife(number) else { return false }
        note(number, 44, "ends, because commits are lost: \(problem)")
        crash(number, losingRequests: false)
        return true
    }

    /// Whether the last event that the reader has passed is this one, and is not there.
    func isLost(_ id: StreamID, of cursor: ReaderCursor) -> Bool {
        guard let passed = cursor.delivered, passed.streamID == id else { return false }
        return !database.stream.holds(passed)
    }

    /// What a process is shown of the members: without the rule no eras.
    func shown(_ membership: Membership) -> Membership {
        var membership = membership
        if configuration.withoutRule == .eras { membership.eras = [] }
        return membership
    }

    /// The reader has come to its cursor with a snapshot of this life: it was given all events of this life up to there.
    mutating func checkGiven(_ snapshot: Snapshot, _ number: Int) {
        for event in snapshot.events { processes[number].memory.given[event.streamID] = event.mark }
        guard configuration.promotes, snapshot.membership.eras.last == database.stream.eras.last else { return }
        let (start, end) = (processes[number].memory.start, processes[number].memory.cursor.position)
        for event in database.stream.events where event.streamID > start && event.streamID <= end {
            guard processes[number].memory.given[event.streamID] != event.mark else { continue }
            fail(
                .skippedEvent,
                "the reader of \(processes[number].name) is at \(end), and was not given \(event.streamID)")
        }
    }
}
