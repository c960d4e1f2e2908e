import Tidemark

extension Simulation {
    /// Lets the schedule say whether there is something to announce. False when there is not.
    mutating func speak(_ number: Int, isAsked: Bool) -> Bool {
        if hasReplication, let promise = processes[number].memory.tracker.promise,
            promise.afterReading > promise.position
        {
            // It could promise more: it reads the sequence first, and nothing else, also not that its epoch is over.
            let before = processes[number].memory.tracker.note()
            let stream = database.stream
            _ = agree(number, before, sequence: stream.sequence, version: stream.membershipVersion)
        }
        let memory = processes[number].memory
        guard hasReplication, let writer = memory.writer, let position = memory.tracker.position else { return false }
        let announced = memory.schedule.announced
        let action = processes[number].memory.schedule.next(
            position: max(position, announced),
            need: memory.tracker.announcementNeed(announced: announced),
            isAsked: isAsked, timing: .forWriters(memory.tracker.memberCount), now: now)
        guard case .announce(let previous, let new) = action else { return false }
        promise(writer, new)
        note(number, 12, "announces that \(writer) is at \(new)")
        announce(number, as: writer, .position(previous: previous, new: new))
        return true
    }

    /// Tells the others of rows of finished IDs.
    mutating func announceRows(_ number: Int, _ ids: [StreamID]) {
        guard hasReplication, let writer = processes[number].memory.writer, let last = ids.max() else { return }
        if random.chance(10) {
            return processes[number].memory.schedule.wroteUntoldRows(through: last)
        }
        processes[number].memory.schedule.told(rowAt: last)
        for id in ids { announce(number, as: writer, .row(id)) }
    }

    private mutating func announce(_ number: Int, as writer: Writer, _ body: SimulatedAnnouncement.Body) {
        for to in processes.indices where to != number && processes[to].phase == .up {
            if cutLinks.contains(number * processes.count + to) { continue }
            // A full link loses something.
            if announcements.count >= 48 { announcements.remove(at: random.below(announcements.count)) }
            let nonce = processes[number].memory.tracker.nonces[writer]
            announcements.append(
                SimulatedAnnouncement(to: to, speaker: Speaker(writer, nonce: nonce), body: body))
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

    /// An announcement arrives. Only the newest epoch that the database gave is heard; a newer one, or a stranger, has
    /// the members read again.
    mutating func hear(_ announcement: SimulatedAnnouncement) {
        let number = announcement.to
        var speaker = announcement.speaker
        let writer = speaker.writer
        if let epoch = processes[number].memory.tracker.epoch(of: writer.instance),
            configuration.withoutRule == (epoch == writer.epoch ? .nonces : .epochOfAnnouncements)
        {
            let member = Writer(writer.instance, epoch: epoch)
            speaker = Speaker(member, nonce: processes[number].memory.tracker.nonces[member])
        }
        note(number, 13, "hears of \(announcement.speaker): \(announcement.body)")
        switch processes[number].memory.tracker.standing(of: speaker) {
        case .member: break
        case .stranger: return reconcile(number)
        case .own, .outdated, .foreign: return
        }
        switch announcement.body {
        case .position(_, let new):
            processes[number].memory.tracker.advance(speaker.writer, to: new)
            if configuration.withoutRule == .positionsAreNotRows, new > 0 {
                processes[number].memory.tracker.recordFinished(new...new)
            }
        case .row(let id):
            processes[number].memory.tracker.advance(speaker.writer, finished: id)
        }
        check(number)
    }
}
