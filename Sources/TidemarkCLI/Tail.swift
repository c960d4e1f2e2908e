import Tidemark

/// Writes what a reader delivers to the output.
struct Tail: Sendable {
    let log: EventLog
    let output: Output
    let progress: Progress
    /// The last event to be written; nil goes on for ever.
    let end: StreamID?
    /// How long at most a batch is waited for when there is an end.
    let timeout: Duration

    func run(after position: StreamID) async throws {
        try await write(log.events(after: position), after: position) { _ in }
    }

    /// Begins at the consumer's place, which moves on after the lines were written out.
    func run(
        as name: ConsumerName, from start: ConsumerStart, filter: EventFilter, whenTaken: WhenTaken
    ) async throws {
        let consumer = try await claim(name, from: start, filter: filter, whenTaken: whenTaken)
        try await write(consumer.events, after: consumer.claim.position) { try await consumer.checkpoint($0) }
    }

    private func claim(
        _ name: ConsumerName, from start: ConsumerStart, filter: EventFilter, whenTaken: WhenTaken
    ) async throws -> DurableConsumer {
        do {
            return try await log.consumer(name, from: start, filter: filter, whenTaken: whenTaken)
        } catch TidemarkError.consumerInUse(let stream, let consumer, let holder) {
            throw ConsumerInUse(stream: stream, consumer: consumer, holder: holder)
        }
    }

    private func write(
        _ batches: EventBatches, after position: StreamID,
        written: @escaping @Sendable (EventBatch) async throws -> Void
    ) async throws {
        if let end, position >= end { return }
        let wait = WaitLimit(after: position)
        try await withThrowingTaskGroup(of: Void.self) { group in
            defer { group.cancelAll() }
            if end != nil {
                group.addTask { try await giveUp(after: wait) }
            }
            group.addTask { try await write(batches, wait, written) }
            try await group.next()
        }
    }

    private func write(
        _ batches: EventBatches, _ wait: WaitLimit, _ written: @Sendable (EventBatch) async throws -> Void
    ) async throws {
        var iterator = batches.makeAsyncIterator()
        wait.begin()
        while let batch = try await iterator.next() {
            wait.end(at: batch.through)
            let wanted = end.map(batch.ending(at:)) ?? batch
            var lines: [UInt8] = []
            OutputLine.append(wanted, to: &lines)
            try await output.write(lines)
            try await written(wanted)
            progress.add(wanted.events.count + wanted.externalEvents.count)
            if let end, batch.through >= end { return }
            wait.begin()
        }
    }

    /// How long a batch may take that nobody holds back: only the reader itself has to get there.
    private static let ownLimit = Duration.seconds(10)

    /// Throws when a batch takes too long, and says who holds it back.
    private func giveUp(after wait: WaitLimit) async throws {
        while true {
            try await wait.expiry(of: timeout)
            let explanation = try await log.explain()
            // What may be read is read, whatever the limit.
            let heldBackBy = wait.position >= explanation.minimum ? explanation.heldBackBy : nil
            let limit = heldBackBy == nil ? max(timeout, Self.ownLimit) : timeout
            if wait.hasLasted(limit) {
                throw HeldBackTooLong(stream: log.stream, end: end ?? 0, limit: limit, heldBackBy: heldBackBy)
            }
            try await Task.sleep(for: .milliseconds(20))
        }
    }
}

/// The event that `tail` was to end at did not come in time.
struct HeldBackTooLong: ProgramError {
    let stream: StreamName
    let end: StreamID
    let limit: Duration
    let heldBackBy: HeldBack?

    var status: ExitStatus { .tryLater }

    var description: String {
        let holder =
            heldBackBy.map { "held back by \($0)" }
            ?? "no writer holds it back, so the database or this machine is slow; try again"
        return "event \(end) of stream \(stream) could not be read \(time): \(holder)"
    }

    private var time: String {
        let seconds = limit / .seconds(1)
        if seconds == 0 { return "without waiting" }
        return "within " + (seconds == seconds.rounded() ? "\(Int(seconds))" : "\(seconds)") + " s"
    }
}

/// A process that lives reads under the consumer's name.
struct ConsumerInUse: ProgramError {
    let stream: StreamName
    let consumer: ConsumerName
    let holder: String?

    var status: ExitStatus { .tryLater }

    var description: String {
        "consumer \(consumer) of stream \(stream) is in use by \(holder ?? "another process"): choose another name, or stop "
            + "that one with --take-over"
    }
}
