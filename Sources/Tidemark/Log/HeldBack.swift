/// Who holds the minimum back, and why.
public struct HeldBack: Hashable, Sendable, CustomStringConvertible {
    /// Why the minimum stands where it does. What to do about each is in the article *When readers wait*.
    public enum Reason: Hashable, Sendable {
        /// An ID of this writer is allocated and not finished.
        case inFlight(StreamID)
        /// It has nothing in flight, but its position was not heard yet.
        case unheard
        /// It has given no sign of life for longer than a heartbeat takes.
        case silent
        /// It could not give one, because somebody else holds the lock that a write needs.
        case writeLockHeld(by: String)
        /// Its process is gone, and nobody has closed it yet.
        case gone
        /// It was closed while it was silent; what waits is heard of at the next reconciling.
        case closed
    }

    /// The writer that the minimum waits for.
    public let instance: InstanceName
    /// Why the minimum waits for it.
    public let reason: Reason
    /// For how long, on this process's clock.
    public let since: Duration

    /// For tests of what shows it to people; otherwise a log makes it.
    public init(instance: InstanceName, reason: Reason, since: Duration) {
        self.instance = instance
        self.reason = reason
        self.since = since
    }

    /// Who, why and for how long, for people.
    public var description: String {
        let milliseconds = since / .milliseconds(1)
        return "\(instance): \(reason), for \(Int64(milliseconds)) ms"
    }
}

extension HeldBack.Reason: CustomStringConvertible {
    /// For people.
    public var description: String {
        switch self {
        case .inFlight(let id): "ID \(id) is in flight"
        case .unheard: "idle, but its position was not heard yet"
        case .silent: "silent"
        case .writeLockHeld(let holder): "waits for the write lock, which \(holder) holds"
        case .gone: "its process is gone"
        case .closed: "closed"
        }
    }

    /// One word for programs.
    public var name: String {
        switch self {
        case .inFlight: "in_flight"
        case .unheard: "unheard"
        case .silent: "silent"
        case .writeLockHeld: "write_lock_held"
        case .gone: "gone"
        case .closed: "closed"
        }
    }
}

extension StreamStatus {
    /// A heartbeat is written once a second by default; one that is missing for three is taken for silence here.
    public static let silence: Duration = .seconds(3)

    /// Who holds this status's minimum back; nil when it is at the newest event.
    ///
    /// Among the members at or below the minimum it is the one with the clearest reason.
    public func heldBack(silence: Duration = Self.silence) -> HeldBack? {
        guard minimumPersisted < newestEvent else { return nil }
        let candidates = writers.filter { $0.isMember && $0.position <= minimumPersisted }
        let reasons = candidates.map { writer in (writer, reason(of: writer, silence: silence)) }
        func rank(_ reason: HeldBack.Reason) -> Int {
            switch reason {
            case .writeLockHeld: 0
            case .gone: 1
            case .silent: 2
            case .inFlight: 3
            case .closed: 4
            case .unheard: 5
            }
        }
        return
            reasons
            .min { (rank($0.1), $0.0.position) < (rank($1.1), $1.0.position) }
            .map { writer, reason in
                var since = Duration.milliseconds(writer.heartbeatAgeMilliseconds)
                if case .inFlight = reason, let milliseconds = writer.inFlightMilliseconds {
                    since = .milliseconds(milliseconds)
                }
                return HeldBack(instance: writer.writer.instance, reason: reason, since: since)
            }
    }

    private func reason(of writer: WriterStatus, silence: Duration) -> HeldBack.Reason {
        if writer.isClosed { return .closed }
        if writer.isProcessGone { return .gone }
        if .milliseconds(writer.heartbeatAgeMilliseconds) > silence {
            return writeLockHolder.map { .writeLockHeld(by: $0) } ?? .silent
        }
        if let lowest = writer.lowestInFlight, lowest > minimumPersisted { return .inFlight(lowest) }
        return .unheard
    }
}

/// Why readers wait, or that they do not.
public struct Explanation: Hashable, Sendable {
    /// The ID up to which this instance may read.
    public let minimum: StreamID
    /// The newest event in the database.
    public let newestEvent: StreamID
    /// Nil when the minimum has reached the newest event.
    public let heldBackBy: HeldBack?

    /// For tests of what shows it to people; otherwise a log makes it.
    public init(minimum: StreamID, newestEvent: StreamID, heldBackBy: HeldBack?) {
        self.minimum = minimum
        self.newestEvent = newestEvent
        self.heldBackBy = heldBackBy
    }
}

/// How waiting for a position ended.
public enum WaitOutcome: Hashable, Sendable {
    /// Everything up to the position is finished, confirmed by a snapshot.
    case reached
    /// Time ran out; nil when nobody in particular could be named.
    case timedOut(heldBackBy: HeldBack?)
}
