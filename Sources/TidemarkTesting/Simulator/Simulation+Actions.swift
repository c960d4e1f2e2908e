import Tidemark

extension Simulation {
    /// False when it is not possible now, and nothing was done.
    mutating func perform(_ action: SimulationAction) -> Bool {
        switch action {
        case .serveRequest:
            guard let index = anyIndex(of: requests.count) else { return false }
            // What nobody waits for any more may lie in a buffer for long.
            if requests[index].isOrphan, random.chance(85) { return false }
            serve(requests.remove(at: index))
        case .deliverAnswer:
            guard let index = anyIndex(of: answers.count), !processes[answers[index].request.process].isStopped
            else { return false }
            receive(answers.remove(at: index))
        case .deliverAnnouncement:
            guard let index = anyIndex(of: announcements.count), processes[announcements[index].to].isActive
            else { return false }
            hear(announcements.remove(at: index))
        case .start, .fetch, .commit, .commitLate, .persistGroup, .giveUp, .expire, .announce, .beat, .reconcile:
            return performAsWriter(action)
        case .read:
            guard let number = anyProcess(where: { $0.isActive && $0.hasReader }) else { return false }
            return read(number)
        case .checkpoint:
            guard let number = anyProcess(where: \.isActive) else { return false }
            return checkpoint(number)
        case .observe, .close, .retire:
            guard let number = anyProcess(where: \.isActive) else { return false }
            return performAsCloser(action, number)
        case .loseConnection, .loseAnnouncement, .repeatAnnouncement, .wasteID, .lie, .speakFromElsewhere, .crash,
            .stop, .resume, .leave, .crashDatabase, .backUp, .restore, .copy, .promote:
            return performFault(action)
        }
        return true
    }

    private mutating func performAsWriter(_ action: SimulationAction) -> Bool {
        let number: Int? =
            switch action {
            case .start: anyProcess { $0.phase == .down }
            case .fetch, .persistGroup: anyProcess { $0.mayWrite && !$0.isIdle && !$0.isBusy }
            case .announce: anyProcess(where: \.mayWrite)
            case .beat: anyProcess { $0.mayWrite && !$0.isQuiet }
            case .reconcile: anyProcess { $0.isActive && !$0.isQuiet }
            case .commit, .giveUp: anyProcess { $0.isActive && $0.memory.scopes.contains { $0.phase == .held } }
            case .commitLate: anyProcess { $0.isActive && !$0.memory.lateBodies.isEmpty }
            default: anyProcess(where: \.isActive)
            }
        guard let number else { return false }
        switch action {
        case .start: start(number)
        case .fetch, .persistGroup:
            guard database.stream.sequence.rawValue < configuration.maximumIDs else { return false }
            return fetch(number, count: 1 + random.below(2), isGroup: action == .persistGroup)
        case .commit: commitScope(of: number)
        case .commitLate: return commitLate(number)
        case .giveUp: giveUpScope(of: number)
        case .expire: return expire(number)
        case .announce: return speak(number, isAsked: random.chance(20))
        case .beat: return beat(number)
        default: reconcile(number)
        }
        return true
    }

    mutating func anyProcess(where isFit: (SimulatedProcess) -> Bool) -> Int? {
        let first = random.below(processes.count)
        for offset in 0..<processes.count {
            let number = (first + offset) % processes.count
            if isFit(processes[number]) { return number }
        }
        return nil
    }

    mutating func anyIndex(of count: Int) -> Int? {
        count == 0 ? nil : random.below(count)
    }

    /// Sends a request to the database, and returns its number.
    @discardableResult
    mutating func send(_ number: Int, _ body: SimulatedRequest.Body) -> Int {
        lastRequest += 1
        let request = SimulatedRequest(
            number: lastRequest, process: number, run: processes[number].run, asked: now,
            joinedIn: processes[number].memory.machine { $0.writersIncarnation }, body: body)
        requests.append(request)
        note(number, 9, "asks with \(request)")
        return request.number
    }

    // MARK: Processes

    /// A writer asks for an epoch first; a reader begins at once.
    mutating func start(_ number: Int) {
        processes[number].run += 1
        processes[number].memory = SimulatedProcess.Memory(number: number, instance: processes[number].instance)
        processes[number].isIdle = random.chance(40)
        processes[number].isQuiet = random.chance(30)
        note(number, 1, "starts")
        if processes[number].isWriter {
            processes[number].phase = .joining
            send(number, .join(processes[number].instance, after: nil))
        } else {
            beginReading(number)
        }
    }

    mutating func beginReading(_ number: Int) {
        processes[number].phase = .up
        if let claim = claim(number) {
            processes[number].memory.claim = claim
            processes[number].memory.cursor = ReaderCursor(after: claim.position)
            processes[number].memory.start = claim.position
            processes[number].memory.begin = claim.position
            begin(number, after: claim.position)
        }
        beginWorking(number)
        connect(number)
    }

    /// What it knew is gone. What it had sent may still be done, unless nothing is left that could do it.
    mutating func crash(_ number: Int, losingRequests: Bool) {
        if database.kind == .durableSequence, let writer = processes[number].memory.writer {
            database.endProcess(of: writer)
        }
        // A host that is cut off is not seen to be gone.
        if let worker = processes[number].memory.worker, random.chance(80) { database.endProcess(worker.id) }
        processes[number].consumer?.crash()
        processes[number].phase = .down
        processes[number].isStopped = false
        processes[number].run += 1
        processes[number].memory = SimulatedProcess.Memory(number: number, instance: processes[number].instance)
        for index in requests.indices.reversed() where requests[index].process == number && !requests[index].isOrphan {
            if losingRequests || random.chance(50) {
                requests.remove(at: index)
            } else {
                requests[index].isOrphan = true
            }
        }
        answers.removeAll { $0.request.process == number }
    }

    /// Adds what happened to the history.
    mutating func note(_ process: Int, _ code: Int, _ text: @autoclosure () -> String) {
        history.add(process &* 64 &+ code)
        guard history.isKept else { return }
        let name = processes.indices.contains(process) ? processes[process].name : "database"
        let text = text()
        history.add("step \(stepCount), \(Int(now / .milliseconds(1))) ms: \(name) \(text)")
    }
}
