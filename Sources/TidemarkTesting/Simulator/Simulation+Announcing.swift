import Tidemark

extension Simulation {
    /// Lets the schedule say whether there is something to announce. False when there is not.
    mutating func speak(_ number: Int, isAsked: Bool) -> Bool {
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
            announcements.append(SimulatedAnnouncement(to: to, writer: writer, body: body))
        }
    }

    /// An announcement arrives. Only the newest epoch that the database gave is heard; a newer one, or a stranger, has
    /// the members read again.
    mutating func hear(_ announcement: SimulatedAnnouncement) {
        let number = announcement.to
        var writer = announcement.writer
        if configuration.withoutRule == .epochOfAnnouncements,
            let epoch = processes[number].memory.tracker.epoch(of: writer.instance)
        {
            writer = Writer(writer.instance, epoch: epoch)
        }
        note(number, 13, "hears of \(announcement.writer): \(announcement.body)")
        guard processes[number].memory.tracker.isMember(writer) else {
            let epoch = processes[number].memory.tracker.epoch(of: writer.instance) ?? -1
            if epoch < writer.epoch { reconcile(number) }
            return
        }
        switch announcement.body {
        case .position(_, let new):
            processes[number].memory.tracker.advance(writer, to: new)
            if configuration.withoutRule == .positionsAreNotRows, new > 0 {
                processes[number].memory.tracker.recordFinished(new...new)
            }
        case .row(let id):
            processes[number].memory.tracker.recordFinished(id...id)
        }
        check(number)
    }
}
