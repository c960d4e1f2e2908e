/// Rows that were dropped before they were sent, by the positions that have receivers fetch them.
///
/// Who hears the row after a dropped one takes it for the next: rows are not numbered without gaps. So the position has to
/// be sent before anything that follows. A position that was dropped may have told of rows that were not sent; these are
/// told of again. There is one entry for each stream and writer that this process speaks for.
package struct DroppedRows: Sendable {
    private struct Origin: Hashable {
        let stream: StreamName
        let speaker: Speaker
    }

    private var highest: [Origin: StreamID] = [:]

    package init() {}

    /// The rows of one ID are all of them here, as transports are given them.
    package mutating func add(_ commands: [ReplicationCommand]) {
        for command in commands {
            switch command {
            case .rdata(let row):
                if case .id(let id) = row.token { add(Origin(stream: row.stream, speaker: row.speaker), through: id) }
            case .position(let position):
                add(Origin(stream: position.stream, speaker: position.speaker), through: position.previous)
            default:
                break
            }
        }
    }

    private mutating func add(_ origin: Origin, through id: StreamID) {
        highest[origin] = max(id, highest[origin] ?? id)
    }

    /// What is to be sent in their place.
    package mutating func takePositions() -> [ReplicationCommand] {
        defer { highest = [:] }
        return highest.map { .position(.inPlaceOfRows(of: $0.key.speaker, in: $0.key.stream, through: $0.value)) }
    }
}

extension ReplicationPosition {
    /// Says that rows up to this ID were not sent: its previous token is the ID, above what anybody has heard of the
    /// writer, and its new one promises nothing.
    static func inPlaceOfRows(of speaker: Speaker, in stream: StreamName, through id: StreamID) -> ReplicationPosition {
        ReplicationPosition(
            stream: stream, writer: speaker.writer, nonce: speaker.nonce, previous: id,
            new: id > 0 ? 0 : StreamID(.min))
    }
}
