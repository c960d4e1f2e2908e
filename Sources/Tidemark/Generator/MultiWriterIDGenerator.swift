import Logging
import Synchronization

/// Hands out stream IDs to one of several writers, and keeps track of how far each of them, and all of them together,
/// have come.
///
/// IDs are handed out before transactions commit, so they commit out of order. The generator knows which of its own
/// are in flight and hears of the other writers' positions; from both follows the minimum persisted position, below
/// which nothing will ever be committed any more.
///
/// The logic is ``PositionTracker``; this class adds the lock, the clock and the tasks.
public final class MultiWriterIDGenerator: Sendable {
    public enum Direction: Sendable {
        case forward
        /// Hands out -1, -2, -3 … for backfill. Positions and IDs are negative and count down; the sequence counts up
        /// as ever, and what it gives is negated.
        case backward
    }

    public let stream: StreamName
    public let instance: InstanceName
    public let direction: Direction

    let sequence: any StreamIDSequence
    /// The sequence, where it never waits.
    let immediateSequence: (any ImmediateStreamIDSequence)?
    let time: TimeSource
    let logger: Logger
    let abandonLimit: Duration
    let state: Mutex<State>

    struct State: Sendable {
        var tracker: PositionTracker
        var lastScope = 0
        private(set) var waiters: [ObjectIdentifier: Waiter<Void>] = [:]
        /// Looked at in every change, which the dictionary itself need not be.
        private(set) var hasWaiters = false
        var observer: (any GeneratorObserver)?
        /// How often IDs of this instance were finished whose rows were not told yet. Until they are, no position may say
        /// that there are none.
        var untold = 0
        var onFalseNews: (@Sendable (FalseNews) -> Void)?
        /// What is being found out about scopes that have no say any more.
        var abandonments: [Int: Abandonment] = [:]
        var expiry: (wakeAt: Duration, task: Task<Void, Never>)?

        mutating func add(_ waiter: Waiter<Void>) {
            waiters[ObjectIdentifier(waiter)] = waiter
            hasWaiters = true
        }

        mutating func remove(_ waiter: Waiter<Void>) {
            waiters.removeValue(forKey: ObjectIdentifier(waiter))
            hasWaiters = !waiters.isEmpty
        }

        mutating func takeWaiters() -> [Waiter<Void>] {
            defer {
                waiters.removeAll(keepingCapacity: true)
                hasWaiters = false
            }
            return Array(waiters.values)
        }
    }

    /// - Parameters:
    ///   - sequence: where this stream's IDs come from.
    ///   - members: the writers that readers count, with their durable positions; for this instance what it knows of
    ///     the sequence when it joins. Where this instance is not among them it is a reader only.
    ///   - version: the membership version that goes with the members.
    public convenience init(
        stream: StreamName, instance: InstanceName, sequence: any StreamIDSequence, members: [Writer: StreamID],
        version: Int = 1, direction: Direction = .forward
    ) {
        self.init(
            stream: stream, instance: instance, sequence: sequence, members: members, version: version,
            direction: direction, time: .continuous, logger: Logger(label: "tidemark"))
    }

    /// - Parameters:
    ///   - time: what time limits are measured with.
    ///   - abandonLimit: how long a scope that throws waits for its IDs to be abandoned; after that they are abandoned
    ///     in the background, and stay in flight until then.
    public convenience init(
        stream: StreamName, instance: InstanceName, sequence: any StreamIDSequence, members: [Writer: StreamID],
        version: Int, direction: Direction, time: TimeSource, logger: Logger, abandonLimit: Duration = .seconds(10)
    ) {
        self.init(
            stream: stream, instance: instance, sequence: sequence,
            membership: Membership(members: members, version: version), sequenceRead: nil, direction: direction,
            time: time, logger: logger, abandonLimit: abandonLimit)
    }

    /// - Parameter sequenceRead: the sequence as it was read last, by which what is heard is bounded; nil where nobody
    ///   reads it, and who calls ``advance(_:to:)`` vouches for it.
    init(
        stream: StreamName, instance: InstanceName, sequence: any StreamIDSequence, membership: Membership,
        sequenceRead: StreamID?, direction: Direction, time: TimeSource, logger: Logger,
        abandonLimit: Duration = .seconds(10)
    ) {
        self.stream = stream
        self.instance = instance
        self.sequence = sequence
        immediateSequence = sequence as? any ImmediateStreamIDSequence
        self.direction = direction
        self.time = time
        self.abandonLimit = abandonLimit
        var logger = logger
        logger[metadataKey: "stream"] = "\(stream)"
        logger[metadataKey: "instance"] = "\(instance)"
        self.logger = logger
        state = Mutex(
            State(
                tracker: PositionTracker(
                    instance: instance, members: membership.members.mapValues(direction.counted),
                    version: membership.version, nonces: membership.nonces, sequence: sequenceRead)))
    }
}

extension MultiWriterIDGenerator {
    /// What the database says: the members with their durable positions. An older version changes nothing.
    public func updateMembers(_ members: [Writer: StreamID], version: Int) {
        logClosed(change { $0.updateMembers(members.mapValues(direction.counted), version: version) })
    }

    func logClosed(_ closed: [StreamID]) {
        guard let lowest = closed.first else { return }
        logger.notice(
            "IDs in flight were closed", metadata: ["count": "\(closed.count)", "lowest": "\(outward(lowest))"])
    }

    /// A position was heard. Dropped unless exactly this epoch is a member.
    public func advance(_ writer: Writer, to position: StreamID) {
        change { $0.advance(writer, to: direction.counted(position)) }
    }

    /// Rows of these IDs, events or tombstones, were heard of or read.
    public func recordFinished(_ ids: [StreamID]) {
        guard !ids.isEmpty else { return }
        change { tracker in
            for id in ids.map(direction.counted) { tracker.hear(finished: id) }
        }
    }

    /// At least the minimum; so for instances that are not members.
    public func position(of instance: InstanceName) -> StreamID {
        outward(state.withLock { $0.tracker.position(of: instance) })
    }

    /// One entry a member: this instance's own position, and the others' as heard.
    public var positions: [InstanceName: StreamID] {
        let positions = state.withLock { $0.tracker.positions }
        return Dictionary(uniqueKeysWithValues: positions.map { ($0.key.instance, outward($0.value)) })
    }

    /// The minimum persisted position and the version of the members that it was computed with, read together.
    public var watermark: Watermark {
        let watermark = state.withLock { $0.tracker.watermark }
        return Watermark(minimum: outward(watermark.minimum), membershipVersion: watermark.membershipVersion)
    }

    /// The greatest ID such that it and every ID below it is finished, as far as this instance can tell. As good as
    /// the members are: ``EventReader`` makes it safe to read by.
    public var minimumPersistedPosition: StreamID { watermark.minimum }

    /// The minimum, and the position of each writer that is ahead of it. Tokens are ordered upwards, so that of a
    /// backward stream has the minimum alone.
    public var token: StreamToken {
        let token = state.withLock { $0.tracker.token }
        return direction == .forward ? token : StreamToken(minimum: outward(token.minimum))
    }
}

extension MultiWriterIDGenerator {
    /// Changes the tracker and tells those who wait for the watermark, and the observer, if it had an effect for them.
    @discardableResult
    func change<R: Sendable, E: Error>(_ body: (inout PositionTracker) throws(E) -> R) throws(E) -> R {
        try changeObserved(body).result.get()
    }

    /// The same, and who observes: the observer is nil where nobody does.
    ///
    /// - Parameter finishing: IDs of this instance are finished by it, and the observer is told of their rows next: until
    ///   ``told()``, which has to follow, it is not told that positions have changed.
    func changeObserved<R: Sendable, E: Error>(
        finishing: Bool = false, _ body: (inout PositionTracker) throws(E) -> R
    ) -> (result: Result<R, E>, observer: (any GeneratorObserver)?) {
        var hasMoved = false
        var woken: [Waiter<Void>] = []
        let (result, observer): (Result<R, E>, (any GeneratorObserver)?) = state.withLock { state in
            let before = state.tracker.marks()
            let result: Result<R, E>
            do throws(E) {
                result = .success(try body(&state.tracker))
            } catch {
                result = .failure(error)
            }
            let after = state.tracker.marks()
            hasMoved = after != before
            if state.hasWaiters, after.watermark != before.watermark { woken = state.takeWaiters() }
            if finishing, state.observer != nil { state.untold += 1 }
            return (result, state.observer)
        }
        if hasMoved {
            for waiter in woken { waiter.resolve(()) }
            if !finishing { observer?.positionsChanged() }
        }
        return (result, observer)
    }

    /// Finishes IDs of this instance, and has the observer told of their rows before any position that covers them.
    func finishing<R: Sendable>(
        _ body: (inout PositionTracker) -> R, tell: (R, any GeneratorObserver) -> Void
    ) -> R {
        let (result, observer) = changeObserved(finishing: true, body)
        if let observer {
            tell(result.get(), observer)
            told()
        }
        return result.get()
    }

    /// The rows of IDs that were finished are told: positions may say so now.
    func told() {
        let observer = state.withLock { state in
            if state.observer != nil { state.untold -= 1 }
            return state.observer
        }
        observer?.positionsChanged()
    }

    func outward(_ id: StreamID) -> StreamID { direction.counted(id) }
}

extension MultiWriterIDGenerator.Direction {
    /// The number that positions are tracked with, which counts up in both directions; and back. The least number has no
    /// counterpart, and anyone may say it: it stands for the one above it.
    func counted(_ id: StreamID) -> StreamID {
        self == .forward ? id : StreamID(-max(id.rawValue, -Int64.max))
    }
}
