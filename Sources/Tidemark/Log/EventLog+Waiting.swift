/// How waiting for a consumer ended.
public enum ConsumerWaitOutcome: Hashable, Sendable {
    /// The consumer's checkpoint is at the ID or above it: what it makes of the event is there.
    case reached
    /// The event could not be handled and was put aside: it was not dealt with, whatever the checkpoint says.
    case parked
    /// Time ran out, and the checkpoint is so many IDs below.
    case timedOut(behindBy: Int64)
}

extension EventLog {
    /// Waits until a consumer's checkpoint has passed an ID: read-your-writes, for a caller that wrote the event and now wants
    /// to see what the consumer makes of it.
    ///
    /// A snapshot of the database answers. Announcements over replication, from this process or another, only wake the caller;
    /// where nothing is heard the database is asked again, every ``EventLogConfiguration/stallInterval`` at least.
    ///
    /// - Parameter timeout: with none left, the database is asked once.
    /// - Throws: ``TidemarkError/unknownConsumer(stream:consumer:known:)`` where nobody has made the consumer;
    ///   ``TidemarkError/acknowledgedEventsLost(stream:id:problem:)`` where the database has lost what this log knew;
    ///   ``TidemarkError/stopped(stream:instance:)``, `CancellationError`, or what the store throws.
    public func wait(
        for consumer: ConsumerName, toPass id: StreamID, timeout: Duration
    ) async throws -> ConsumerWaitOutcome {
        let deadline = time.now + timeout
        var isWokenInVain = false
        while true {
            try Task.checkCancellation()
            try generator.checkRunning()
            // Before the snapshot is opened: what is said after that is not missed.
            let (number, waiter) = generator.checkpoints.add(consumer, id)
            defer { generator.checkpoints.remove(number, of: consumer) }
            let note = generator.note()
            guard let found = try await store.position(of: consumer, in: stream, passing: id) else {
                throw TidemarkError.unknownConsumer(
                    stream: stream, consumer: consumer, known: try await consumers().map(\.name))
            }
            // The ID may be another one by now.
            try generator.requireNothingLost(since: note, in: found.eras)
            if found.isParked { return .parked }
            if found.position >= id { return .reached }
            let asked = time.now
            guard asked < deadline else { return .timedOut(behindBy: id.rawValue - found.position.rawValue) }
            let next = min(deadline, asked + min(configuration.stallInterval, store.standstillInterval))
            let isSaid = await waiter.value(until: next, on: time, late: false, cancelled: false)
            // False announcements must not have the database asked as often as they come.
            if isSaid, isWokenInVain, time.now < asked + Self.shortestInterval {
                try await time.sleep(until: min(next, asked + Self.shortestInterval))
            }
            isWokenInVain = isSaid
        }
    }

    /// How soon, at the earliest, the database is asked again after it was asked in vain because of an announcement.
    private static let shortestInterval: Duration = .milliseconds(5)
}
