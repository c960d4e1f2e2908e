import DequeModule
import TidemarkCore
import TidemarkWire

/// Recognises what the server sends back of what this connection has published.
///
/// A line does not say who sent it, and has to stay as other software writes it. But Redis hands the messages of one
/// publisher to a subscriber in the order in which they were published, and exactly once while both connections last. So
/// what comes back is always the next line of those that were published and have not come back yet, byte for byte.
/// Somebody else may send the same line just before; then theirs is taken for ours, and ours is handed on as theirs,
/// which comes to the same: of so many equal lines, so many are handed on as others have sent.
///
/// What was on its way when a connection was lost may come after the next one was made, and is then not recognised. Of
/// rows and positions ``OwnWriter`` knows better; of the rest no harm comes.
struct EchoFilter {
    private struct Published {
        let number: Int
        let message: RedisMessage
    }

    private var expected: Deque<Published> = []
    var isEmpty: Bool { expected.isEmpty }
    /// How many bytes the lines have that are expected.
    private(set) var bytes = 0

    mutating func published(_ message: RedisMessage, as number: Int) {
        expected.append(Published(number: number, message: message))
        bytes += message.line.count
    }

    /// The server did not take it, so that it does not come back.
    mutating func refused(_ number: Int) {
        guard let index = expected.firstIndex(where: { $0.number == number }) else { return }
        bytes -= expected.remove(at: index).message.line.count
    }

    /// Whether the message is one of ours that came back.
    mutating func isEcho(_ message: RedisMessage) -> Bool {
        guard let first = expected.first, first.message == message else { return false }
        expected.removeFirst()
        bytes -= message.line.count
        return true
    }
}

/// Recognises rows and positions of the participant itself by the writer that they name.
///
/// Only epochs that it spoke for, and earlier ones, which others have given up as well: a newer epoch of its name is
/// another process, and has to be heard.
struct OwnWriter {
    private let name: InstanceName
    private var newest: Speaker?

    init(name: InstanceName) { self.name = name }

    mutating func sent(_ command: ReplicationCommand) {
        guard let speaker = Self.speaker(of: command), speaker.writer.instance == name else { return }
        if let newest, newest.writer.epoch > speaker.writer.epoch { return }
        newest = speaker
    }

    func isOwn(_ command: ReplicationCommand) -> Bool {
        guard let newest, let speaker = Self.speaker(of: command) else { return false }
        // With another nonce it is a writer of another database, of which has to be heard that it is there.
        return speaker == newest
            || speaker.writer.instance == name && speaker.writer.epoch < newest.writer.epoch
    }

    private static func speaker(of command: ReplicationCommand) -> Speaker? {
        switch command {
        case .rdata(let row): row.speaker
        case .position(let position): position.speaker
        default: nil
        }
    }
}
