import Tidemark

extension Simulation {
    mutating func performFault(_ action: SimulationAction) -> Bool {
        switch action {
        case .loseConnection: return loseConnection()
        case .loseAnnouncement:
            guard let index = anyIndex(of: announcements.count) else { return false }
            announcements.remove(at: index)
        case .repeatAnnouncement:
            guard let index = anyIndex(of: announcements.count), processes[announcements[index].to].isActive
            else { return false }
            hear(announcements[index])
        case .wasteID:
            guard database.stream.sequence.rawValue < configuration.maximumIDs else { return false }
            let before = database.stream
            let id = database.waste()
            checkAllocated([id], in: before)
            note(processes.count, 38, "wastes \(id)")
        case .lie:
            return lie()
        case .speakFromElsewhere:
            return speakFromElsewhere()
        case .crash:
            guard let number = anyProcess(where: { $0.phase != .down }) else { return false }
            note(number, 30, "crashes")
            crash(number, losingRequests: false)
        case .stop:
            guard let number = anyProcess(where: \.isActive) else { return false }
            note(number, 31, "is stopped")
            processes[number].isStopped = true
        case .resume:
            guard let number = anyProcess(where: \.isStopped) else { return false }
            note(number, 32, "goes on")
            processes[number].isStopped = false
        case .leave:
            guard let number = anyProcess(where: \.mayWrite), let writer = processes[number].memory.writer else {
                return false
            }
            note(number, 33, "leaves as \(writer)")
            processes[number].memory.isLeaving = true
            processes[number].memory.machine { $0.stop() }
            send(number, .leave(writer))
        case .backUp:
            let sequence = database.stream.sequence
            note(processes.count, 40, "is backed up at \(sequence)")
            database.backUp()
            for number in processes.indices { processes[number].tableOfBackup = processes[number].table }
        case .restore:
            return putBackupBack()
        case .copy:
            guard database.copy() else { return false }
            let sequence = database.durableSequence
            for number in processes.indices { processes[number].tableOfCopy = processes[number].table }
            note(processes.count, 42, "is copied at \(sequence)")
        case .promote:
            return promoteCopy()
        default:
            // A file's database crashes with its machine: everybody begins again, of which little is enough.
            guard database.kind == .sequenceMadeDurableByCommits || random.chance(10) else { return false }
            crashDatabase()
        }
        return true
    }

    /// Of a request that is on its way, or of an answer. Who asked does not know which.
    private mutating func loseConnection() -> Bool {
        if random.chance(50) {
            guard let index = anyIndex(of: answers.count) else { return false }
            answers[index].body = .lost
            let request = answers[index].request
            note(request.process, 34, "loses the answer to \(request)")
            return true
        }
        guard let index = anyIndex(of: requests.count), !requests[index].isOrphan else { return false }
        let request = requests[index]
        note(request.process, 35, "loses the connection during \(request)")
        answers.append(SimulatedAnswer(request: request, body: .lost))
        if random.chance(60) {
            requests[index].isOrphan = true
        } else {
            requests.remove(at: index)
        }
        return true
    }

    /// Every open transaction is cut off, and what was not durable is lost. Where the database is a file, its crash is
    /// that of the machine.
    private mutating func crashDatabase() {
        let durable = database.durableSequence
        note(processes.count, 36, "crashes; the sequence goes back to \(durable)")
        switch database.kind {
        case .durableSequence:
            for number in processes.indices where processes[number].phase != .down {
                crash(number, losingRequests: true)
            }
            requests.removeAll()
        case .sequenceMadeDurableByCommits:
            for request in requests where !request.isOrphan {
                answers.append(SimulatedAnswer(request: request, body: .lost))
            }
            requests.removeAll()
            for index in answers.indices where random.chance(50) { answers[index].body = .lost }
            database.crash()
        }
    }

    /// Nobody runs while a backup is put back, and what was said before is still on its way to those who begin then. What
    /// came after the backup is lost, and nobody is told otherwise.
    private mutating func putBackupBack() -> Bool {
        // A user's own consumer would know of what is lost.
        guard configuration.consumer == nil, database.hasBackup else { return false }
        for number in processes.indices where processes[number].phase != .down {
            crash(number, losingRequests: true)
        }
        requests.removeAll()
        answers.removeAll()
        database.restore()
        let stream = database.stream
        note(processes.count, 41, "is put back as it was at \(stream.sequence)")
        beginAnotherLife(after: stream.sequence)
        for number in processes.indices { processes[number].table = processes[number].tableOfBackup }
        return true
    }

    /// What the database lacks now counts no more.
    mutating func beginAnotherLife(after begin: StreamID) {
        let stream = database.stream
        acknowledged.removeAll { event, id in !stream.has(event, at: id) }
        promises = [:]
        lastVersion = 0
        lastRows = [:]
        for number in processes.indices { processes[number].reached = min(processes[number].reached, begin) }
    }

    // MARK: Closing

    /// Whatever was seen at any time may be what somebody closes by: that is the database's to judge.
    mutating func performAsCloser(_ action: SimulationAction, _ number: Int) -> Bool {
        if action == .observe { return observe(number) }
        guard let index = anyIndex(of: processes[number].memory.observations.count) else { return false }
        let observed = processes[number].memory.observations.remove(at: index)
        note(number, 37, "wants to \(action) \(observed.text)")
        if action == .retire {
            send(number, .retire(observed))
        } else if random.chance(20) {
            send(number, .closeByHand(observed.writer.instance))
        } else {
            send(number, .close(observed))
        }
        return true
    }

    private mutating func observe(_ number: Int) -> Bool {
        let all = database.stream.observations
        guard let index = anyIndex(of: all.count), all[index].writer != processes[number].memory.writer else {
            return false
        }
        processes[number].memory.observations.append(all[index])
        if processes[number].memory.observations.count > 4 { processes[number].memory.observations.removeFirst() }
        return true
    }
}
