import Tidemark

extension Simulation {
    /// Somebody asks where it is, or its time comes. False where it says nothing then.
    mutating func speak(_ number: Int, isAsked: Bool) -> Bool {
        guard hasReplication else { return false }
        let now = now
        let before = processes[number].memory.machine { machine in
            if isAsked { machine.isAsked(now: now) } else { machine.timePassed(now: now) }
            return machine.announced
        }
        carryOut(number)
        return processes[number].memory.machine { $0.announced } != before
    }

    /// The process takes part in the replication from now on, and asks where everyone is.
    mutating func connect(_ number: Int) {
        guard hasReplication else { return }
        let now = now
        processes[number].memory.machine { machine in
            machine.connecting(listensFirst: .zero, belongsToDatabase: true, now: now)
            machine.attached(now: now)
            machine.connected(now: now)
        }
        announce(number, as: nil, .question)
        settle(number)
    }

    /// Says what the machine says.
    mutating func send(_ messages: [StreamMessage], from number: Int) {
        guard hasReplication else { return }
        for message in messages {
            switch message {
            case .question: announce(number, as: nil, .question)
            case .position(let speaker, let previous, let new):
                if isOfThisLife(number) { promise(speaker.writer, new) }
                note(number, 12, "announces that \(speaker) is at \(new)")
                announce(number, as: speaker, .position(previous: previous, new: new))
            case .event(let speaker, let id, _), .tombstone(let speaker, let id):
                announce(number, as: speaker, .row(id))
            }
        }
    }

    /// It could promise more: it reads the sequence, and nothing else, also not that its epoch is over.
    mutating func readSequence(_ number: Int) {
        let before = processes[number].memory.machine { $0.note() }
        let (stream, now) = (database.stream, now)
        _ = agree(number, before, sequence: stream.sequence, version: stream.membershipVersion)
        processes[number].memory.machine { $0.sequenceWasRead(now: now) }
    }

    private mutating func announce(_ number: Int, as speaker: Speaker?, _ body: SimulatedAnnouncement.Body) {
        for to in processes.indices where to != number && processes[to].phase == .up {
            if cutLinks.contains(number * processes.count + to) { continue }
            // A full link loses something.
            if announcements.count >= 48 { announcements.remove(at: random.below(announcements.count)) }
            announcements.append(SimulatedAnnouncement(to: to, speaker: speaker, body: body))
        }
    }

    /// Somebody speaks in the name of a member, and of IDs far above the sequence.
    mutating func lie() -> Bool {
        guard let member = anyMember() else { return false }
        let speaker = Speaker(member, nonce: database.stream.membership.nonces[member])
        return say(StreamID(Self.lie + Int64(random.below(100))), as: speaker)
    }

    /// A writer of another database on the same channel has the name and the epoch of a member, and IDs as high.
    mutating func speakFromElsewhere() -> Bool {
        guard let member = anyMember() else { return false }
        let nonce = Int64(random.next() >> 1)
        guard nonce != database.stream.membership.nonces[member] else { return false }
        let id = 1 + random.below(Int(database.stream.sequence.rawValue) + 1)
        return say(StreamID(Int64(id)), as: Speaker(member, nonce: nonce))
    }

    private mutating func anyMember() -> Writer? {
        let members = database.stream.membership.members.keys.sorted { $0.instance < $1.instance }
        return anyIndex(of: members.count).map { members[$0] }
    }

    /// What no process of the simulation says.
    private mutating func say(_ id: StreamID, as speaker: Speaker) -> Bool {
        guard hasReplication, let to = anyProcess(where: { $0.phase == .up }) else { return false }
        let body: SimulatedAnnouncement.Body = random.chance(50) ? .row(id) : .position(previous: 0, new: id)
        note(to, 39, "is sent by somebody who speaks as \(speaker): \(body)")
        announcements.append(SimulatedAnnouncement(to: to, speaker: speaker, body: body))
        return true
    }

    /// No sequence comes there.
    static var lie: Int64 { 1_000_000 }

    /// An announcement arrives.
    mutating func hear(_ announcement: SimulatedAnnouncement) {
        let (number, now) = (announcement.to, now)
        let machine = processes[number].memory.machine
        note(
            number, 13,
            "hears of \(announcement.speaker.map { "\($0)" } ?? "somebody"): \(announcement.body)")
        guard var speaker = announcement.speaker else {
            machine { $0.isAsked(now: now) }
            return settle(number)
        }
        let writer = speaker.writer
        if let epoch = machine({ $0.epoch(of: writer.instance) }),
            configuration.withoutRule == (epoch == writer.epoch ? .nonces : .epochOfAnnouncements)
        {
            let member = Writer(writer.instance, epoch: epoch)
            speaker = Speaker(member, nonce: machine { $0.nonce(of: member) })
        }
        switch announcement.body {
        case .position(let previous, let new):
            machine { $0.received(HeardPosition(speaker, previous: previous, new: new), now: now) }
            if configuration.withoutRule == .positionsAreNotRows, new > 0 {
                machine { $0.received(HeardRow(speaker, id: new), now: now) }
            }
        case .row(let id):
            machine { $0.received(HeardRow(speaker, id: id), now: now) }
        case .question:
            break
        }
        settle(number)
    }
}
