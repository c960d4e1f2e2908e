import Tidemark

// What people read in a history. Nothing in here may depend on the order of a dictionary, which differs in each run.

extension SimulatedRequest.Body: CustomStringConvertible {
    var description: String {
        switch self {
        case .join(let instance, nil): "to join as \(instance)"
        case .join(_, let writer?): "to join again after \(writer)"
        case .leave(let writer): "to leave as \(writer)"
        case .heartbeat(let beat): "for a heartbeat of \(beat.writer) at \(beat.position)"
        case .reconcile(let question, let minimum):
            """
            for all above \(minimum) (members of version \(question.note.watermark.membershipVersion), known: \(question.note.known), \
            heard: \(question.note.heard))
            """
        case .allocate(let count, let writer): "for \(count) IDs for \(writer)"
        case .commit(let ids, let events, let writer, let incarnation):
            "to commit \(events.pairs(with: ids)) by \(writer), of incarnation \(incarnation)"
        case .group(let group): "to persist \(group.events.map(\.id)) by \(group.writer), fence \(group.fence)"
        case .openGroup(let ids, let events, let writer, let incarnation, _):
            "to commit the group \(events.pairs(with: ids)) by \(writer), of incarnation \(incarnation)"
        case .abandon(let ids, _, let writer, let incarnation):
            "to abandon \(ids) of \(writer), of incarnation \(incarnation)"
        case .settle(let request, _): "what became of the group of request \(request)"
        case .close(let observed): "to close \(observed.text)"
        case .retire(let observed): "to retire \(observed.text)"
        case .closeByHand(let instance): "to close \(instance), whatever its heartbeat"
        case .checkWritable: "whether it can write"
        }
    }
}

extension SimulatedRequest: CustomStringConvertible {
    var description: String { "request \(number), \(body)" }
}

extension SimulatedAnswer.Body: CustomStringConvertible {
    var description: String {
        switch self {
        case .done: "done"
        case .joined(let joined): "is \(joined.writer) at \(joined.position), \(joined.membership.text)"
        case .heartbeat(.alive(let newest, let durable)): "newest row \(newest), durable position \(durable)"
        case .heartbeat(.retired): "retired"
        case .heartbeat(.taken(let writer)): "the name is \(writer)'s"
        case .reconciled(let found):
            """
            \(found.membership.text), sequence \(found.sequence), newest row \(found.newestCommitted), finished \
            \(found.finished.map { "\($0.lowerBound)...\($0.upperBound)" })
            """
        case .allocated(let ids, let incarnation): "\(ids) of incarnation \(incarnation)"
        case .persisted(let outcomes, let refusals):
            "\(outcomes.map(\.text))" + (refusals.isEmpty ? "" : ", calls \(refusals.keys.sorted()) are refused")
        case .abandoned(let committed, let void): "committed were \(committed), void are \(void)"
        case .settled(let outcomes, _): outcomes.map { "\($0.map(\.text))" } ?? "never committed"
        case .refused(let error): "refused: \(error)"
        case .void: "refused: of an earlier incarnation"
        case .lost: "the connection is lost"
        }
    }
}

extension SimulatedAnnouncement.Body: CustomStringConvertible {
    var description: String {
        switch self {
        case .position(let previous, let new): "it is at \(new), and was at \(previous)"
        case .row(let id): "\(id) is finished"
        case .question: "where is everyone?"
        }
    }
}

extension [Event] {
    fileprivate func pairs(with ids: [StreamID]) -> String {
        zip(self, ids).map { event, id in "\(event.id) at \(id)" }.joined(separator: ", ")
    }
}

extension PersistOutcome {
    fileprivate var text: String {
        switch self {
        case .persisted(let id): "\(id)"
        case .alreadyPersisted(let id): "\(id) (was there)"
        }
    }
}

extension Membership {
    var text: String {
        let members = members.sorted { $0.key.instance < $1.key.instance }.map { "\($0.key) at \($0.value)" }
        return "members of version \(version): " + (members.isEmpty ? "none" : members.joined(separator: ", "))
    }
}

extension WriterObservation {
    var text: String {
        "\(writer) seen at \(position), heartbeat \(heartbeat)\(isProcessGone ? ", its process gone" : "")"
    }
}
