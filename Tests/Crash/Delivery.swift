import Tidemark

/// An event as a reader was given it.
struct DeliveredEvent: Hashable {
    let streamID: StreamID
    let eventID: String
    let commitNumber: Int64

    init(streamID: StreamID, eventID: String, commitNumber: Int64) {
        self.streamID = streamID
        self.eventID = eventID
        self.commitNumber = commitNumber
    }

    init(_ event: PersistedEvent) {
        self.init(streamID: event.streamID, eventID: event.event.id, commitNumber: event.mark.rawValue)
    }
}

/// A line of what a reader writes down.
enum Delivery: Hashable {
    /// A process began after the checkpoint of the one before it.
    case began(after: StreamID)
    case event(DeliveredEvent)
    case batchEnded(through: StreamID, commitNumber: Int64)
    /// Moved, durably.
    case checkpoint(StreamID)

    var line: String {
        switch self {
        case .began(let position): "began \(position)"
        case .event(let event): "event \(event.streamID) \(event.eventID) \(event.commitNumber)"
        case .batchEnded(let through, let commitNumber): "batch \(through) \(commitNumber)"
        case .checkpoint(let position): "checkpoint \(position)"
        }
    }

    init(fields: [Substring]) throws {
        let numbers = fields.dropFirst().map { Int64($0) }
        switch (fields.first, fields.count) {
        case ("began", 2): self = .began(after: StreamID(try Self.number(numbers[0])))
        case ("event", 4):
            self = .event(
                DeliveredEvent(
                    streamID: StreamID(try Self.number(numbers[0])), eventID: String(fields[2]),
                    commitNumber: try Self.number(numbers[2])))
        case ("batch", 3):
            self = .batchEnded(
                through: StreamID(try Self.number(numbers[0])), commitNumber: try Self.number(numbers[1]))
        case ("checkpoint", 2): self = .checkpoint(StreamID(try Self.number(numbers[0])))
        default: throw Failure("a reader wrote \(fields.joined(separator: " "))")
        }
    }

    private static func number(_ number: Int64?) throws -> Int64 {
        guard let number else { throw Failure("a reader wrote no number where one has to be") }
        return number
    }
}
