import DequeModule

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
