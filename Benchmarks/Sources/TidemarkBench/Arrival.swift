/// An event in the reader's process.
struct Arrival: Sendable {
    let id: String
    let streamID: Int64
    /// ``MonotonicTime``.
    let time: Int64

    /// How the reader says it.
    var line: String { "\(id) \(streamID) \(time)" }
}

extension Arrival {
    init(line: String) throws {
        let fields = line.split(separator: " ")
        guard fields.count == 3, let streamID = Int64(fields[1]), let time = Int64(fields[2]) else {
            throw Failure("the reader said \"\(line)\"")
        }
        self.init(id: String(fields[0]), streamID: streamID, time: time)
    }
}

extension ChildProcess {
    /// Of a reader's process: waits until it has seen so many events, or the time is over.
    func waitForArrivals(_ count: Int, atMost limit: Duration) async throws {
        let deadline = ContinuousClock.now + limit
        while ContinuousClock.now < deadline {
            if let seen = try await ask("count").first.flatMap({ Int($0) }), seen >= count { return }
            // Asked seldom: the reader is what is measured.
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    /// Of a reader's process: what it has seen, in its order.
    func arrivals() async throws -> [Arrival] {
        try await ask("arrivals").map(Arrival.init(line:))
    }
}
