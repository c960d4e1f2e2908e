import Synchronization

/// How a stream is, for health checks and alarms: what the database says, and where a log was asked, what it knows of itself.
public struct StreamHealth: Hashable, Sendable, CustomStringConvertible {
    /// What is taken for a problem.
    public struct Limits: Hashable, Sendable {
        /// How old the heartbeat of the log's own writer may be. It is written once a second by default.
        public var heartbeatAge: Duration = .seconds(5)
        /// For how long the minimum may stand still while events wait above it.
        public var standstill: Duration = .seconds(10)
        /// For how long an event may wait for a consumer; nil where consumers may lag as they like.
        public var consumerLag: Duration?
        /// How many events a consumer may have parked; nil where that is no problem. They are counted up to
        /// ``StreamStatus/ConsumerStatus/mostParked``.
        public var parked: Int?

        /// The defaults.
        public init() {}
    }

    /// One thing that a person should look at.
    public enum Problem: Hashable, Sendable, CustomStringConvertible {
        /// The log has ended, or was told to.
        case notRunning(String)
        /// The database could not be asked.
        case storeUnavailable(String)
        /// This writer is no member of the stream: it was retired, and could not join again yet.
        case notAMember(InstanceName)
        /// The heartbeat of this writer is older than it should be: others may close it soon.
        case heartbeatIsOld(InstanceName, age: Duration)
        /// Events wait, and the minimum has not moved.
        case minimumStandsStill(since: Duration, heldBackBy: HeldBack?)
        /// An event has waited for this consumer for too long.
        case consumerLags(ConsumerName, events: Int64, since: Duration)
        /// This consumer has put so many events aside, and somebody is to look at them.
        case eventsAreParked(ConsumerName, events: Int)

        /// One sentence for people.
        public var description: String {
            switch self {
            case .notRunning(let problem): "the log does not run: \(problem)"
            case .storeUnavailable(let problem): "the database cannot be asked: \(problem)"
            case .notAMember(let instance): "\(instance) is no member of the stream any more"
            case .heartbeatIsOld(let instance, let age): "the heartbeat of \(instance) is \(Self.seconds(age)) old"
            case .minimumStandsStill(let since, let heldBackBy):
                "events wait: the minimum has stood still for \(Self.seconds(since))"
                    + (heldBackBy.map { "; held back by \($0)" } ?? "")
            case .consumerLags(let name, let events, let since):
                "consumer \(name) is \(events) ID\(events == 1 ? "" : "s") behind, for \(Self.seconds(since))"
            case .eventsAreParked(let name, let events):
                "consumer \(name) has parked \(events) event\(events == 1 ? "" : "s"): see tidemark consumer parked \(name)"
            }
        }

        private static func seconds(_ duration: Duration) -> String {
            "\(Int64((duration / .milliseconds(100)).rounded()) / 10) s"
        }
    }

    /// How far one consumer is.
    public struct Consumer: Hashable, Sendable {
        /// The name under which it keeps its place.
        public let name: ConsumerName
        /// Its checkpoint.
        public let position: StreamID
        /// How many IDs it is behind the newest event.
        public let eventsBehind: Int64
        /// For how long the oldest event that it has not passed, and that was not pruned, has been there, by the wall clocks of
        /// its writer and of this process. Zero where there is none.
        public let behindFor: Duration
        /// How many events it has parked, counted up to ``StreamStatus/ConsumerStatus/mostParked``.
        public let parked: Int

        /// For tests of what shows it; otherwise it comes with a ``StreamHealth``.
        public init(
            name: ConsumerName, position: StreamID, eventsBehind: Int64, behindFor: Duration, parked: Int = 0
        ) {
            self.parked = parked
            self.name = name
            self.position = position
            self.eventsBehind = eventsBehind
            self.behindFor = behindFor
        }
    }

    /// The stream that was looked at.
    public let stream: StreamName
    /// What readers may read up to, as far as the database says; a log that was asked may know of a higher one.
    public let minimum: StreamID
    /// The highest ID that holds an event.
    public let newestEvent: StreamID
    /// Who holds the minimum back; nil where it has reached the newest event.
    public let heldBackBy: HeldBack?
    /// For how long the minimum has stood still while events waited above it; zero where none wait.
    public let standstill: Duration
    /// How old the heartbeat of the log's own writer is; nil where a log was not asked, or only reads.
    public let heartbeatAge: Duration?
    /// The members of the stream.
    public let memberCount: Int
    /// At most ``maximumConsumers``, those that are furthest behind.
    public let consumers: [Consumer]
    /// What is wrong, the worst first. Empty where all is well.
    public let problems: [Problem]

    /// Whether nothing is wrong.
    public var isHealthy: Bool { problems.isEmpty }

    /// For how many consumers the oldest event that they have not passed is looked up.
    public static let maximumConsumers = 64

    /// One line for people.
    public var description: String {
        if !problems.isEmpty { return problems.map(\.description).joined(separator: "; ") }
        let members = "\(memberCount) writer\(memberCount == 1 ? "" : "s")"
        let readers = "\(consumers.count) consumer\(consumers.count == 1 ? "" : "s")"
        return "stream \(stream) is well: minimum \(minimum), newest event \(newestEvent), \(members), \(readers)"
    }
}

extension StreamHealth {
    /// What a log knows of itself.
    struct Own: Hashable, Sendable {
        /// Nil where it only reads.
        let writer: Writer?
        /// For how long its minimum has stood still while something above it was known.
        let standstill: Duration
        let minimum: StreamID
        /// What it holds the minimum back with itself, which its last heartbeat need not have said.
        let holdsBack: HeldBack?
        /// Why it does not run; nil where it does.
        let ended: String?
    }

    /// - Parameter consumers: those of the status, with the ages of their oldest events.
    init(_ status: StreamStatus, consumers: [Consumer], own: Own?, limits: Limits) {
        stream = status.stream
        minimum = max(status.minimumPersisted, own?.minimum ?? 0)
        newestEvent = status.newestEvent
        heldBackBy = minimum < newestEvent ? own?.holdsBack ?? status.heldBack() : nil
        standstill = minimum < newestEvent ? own?.standstill ?? heldBackBy?.since ?? .zero : .zero
        memberCount = status.writers.count(where: \.isMember)
        self.consumers = consumers
        let row = own?.writer.flatMap { writer in status.writers.first { $0.writer == writer && $0.isMember } }
        heartbeatAge = row.map { .milliseconds($0.heartbeatAgeMilliseconds) }

        var problems: [Problem] = []
        if let ended = own?.ended { problems.append(.notRunning(ended)) }
        if let writer = own?.writer, own?.ended == nil {
            if row == nil { problems.append(.notAMember(writer.instance)) }
            if let age = heartbeatAge, age > limits.heartbeatAge {
                problems.append(.heartbeatIsOld(writer.instance, age: age))
            }
        }
        if standstill > limits.standstill {
            problems.append(.minimumStandsStill(since: standstill, heldBackBy: heldBackBy))
        }
        if let longest = limits.consumerLag {
            for consumer in consumers where consumer.behindFor > longest {
                problems.append(
                    .consumerLags(consumer.name, events: consumer.eventsBehind, since: consumer.behindFor))
            }
        }
        if let most = limits.parked {
            // Of all of them, and not only of those that are furthest behind.
            for consumer in status.consumers where consumer.parked > most {
                problems.append(.eventsAreParked(consumer.name, events: consumer.parked))
            }
        }
        self.problems = problems
    }

    /// Where nothing but the problem is known.
    init(_ stream: StreamName, own: Own?, unavailable problem: String) {
        self.stream = stream
        minimum = own?.minimum ?? 0
        newestEvent = minimum
        heldBackBy = nil
        standstill = .zero
        heartbeatAge = nil
        memberCount = 0
        consumers = []
        problems = (own?.ended.map { [.notRunning($0)] } ?? []) + [.storeUnavailable(problem)]
    }
}

extension EventStore {
    /// How the stream is, by what the database says.
    ///
    /// - Parameter now: the wall clock, in milliseconds since 1970-01-01 UTC.
    /// - Throws: ``TidemarkError/unknownStream(stream:store:)``, or what the store throws.
    public func health(
        of stream: StreamName, limits: StreamHealth.Limits = .init(), now: Int64 = WallClock.milliseconds()
    ) async throws -> StreamHealth {
        try await health(of: stream, own: nil, limits: limits, now: now)
    }

    func health(
        of stream: StreamName, own: StreamHealth.Own?, limits: StreamHealth.Limits, now: Int64
    ) async throws -> StreamHealth {
        guard let status = try await status(of: stream) else {
            throw TidemarkError.unknownStream(stream: stream, store: "\(self)")
        }
        var consumers: [StreamHealth.Consumer] = []
        for consumer in status.consumers.sorted(by: { $0.position < $1.position }).prefix(StreamHealth.maximumConsumers)
        {
            let behind = max(0, status.newestEvent.rawValue - consumer.position.rawValue)
            let oldest = behind == 0 ? nil : try await oldest(of: stream, after: consumer.position, status)
            consumers.append(
                StreamHealth.Consumer(
                    name: consumer.name, position: consumer.position, eventsBehind: behind,
                    behindFor: oldest.map { .milliseconds(max(0, now - $0)) } ?? .zero, parked: consumer.parked))
        }
        return StreamHealth(status, consumers: consumers, own: own, limits: limits)
    }

    /// When the first event after `position` that was not pruned was persisted. It need not be finished with what is below it.
    private func oldest(of stream: StreamName, after position: StreamID, _ status: StreamStatus) async throws -> Int64?
    {
        var request = SnapshotRequest(
            delivered: nil, membershipVersion: 0, after: position, through: status.newestEvent, limit: 1, byteLimit: 1)
        // A snapshot of another version of the members has no events. Several joins in a row are no check's concern.
        for _ in 0..<4 {
            let next: Snapshot?
            do {
                next = try await snapshot(of: stream, request)
            } catch TidemarkError.pruned(_, _, let mark) {
                // Of a consumer that was ignored when the stream was pruned: what is left is asked for.
                request.after = mark
                continue
            }
            guard let snapshot = next else { return nil }
            if snapshot.membership.version == request.membershipVersion {
                let events = snapshot.events.map { ($0.streamID, $0.persistedAtMilliseconds) }
                let external = snapshot.externalEvents.map { ($0.streamID, $0.persistedAtMilliseconds) }
                return (events + external).min { $0.0 < $1.0 }?.1
            }
            request.membershipVersion = snapshot.membership.version
        }
        return nil
    }
}

extension EventLog {
    /// How this log and its stream are, for a health check: whether it runs, how old its heartbeat is, whether the minimum
    /// moves, and how far consumers are behind. It asks the database, and never throws: that the database cannot be asked
    /// is a problem among others.
    ///
    /// - Parameter now: the wall clock, in milliseconds since 1970-01-01 UTC.
    public func health(
        limits: StreamHealth.Limits = .init(), now: Int64 = WallClock.milliseconds()
    ) async -> StreamHealth {
        let own = generator.health()
        do {
            return try await store.health(of: stream, own: own, limits: limits, now: now)
        } catch {
            return StreamHealth(stream, own: own, unavailable: "\(error)")
        }
    }
}

extension MultiWriterIDGenerator {
    fileprivate func health() -> StreamHealth.Own {
        let now = time.now
        return state.withLock { state in
            let ended = state.failure.map { "\($0)" } ?? (state.machine.isStopped ? "it was shut down" : nil)
            return StreamHealth.Own(
                writer: state.machine.writer, standstill: state.machine.standstill(now: now),
                minimum: state.machine.watermark.minimum, holdsBack: heldBack(by: &state.machine, now: now),
                ended: ended)
        }
    }
}
