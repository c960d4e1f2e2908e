/// Decides which other writers an observer closes or retires (rule 6).
///
/// A wrong decision breaks no promise: closing is one that the database keeps from then on. But closing a healthy writer
/// costs that writer its IDs in flight, so silence counts only where the observer can tell a silent writer from a stall of
/// everyone:
///
/// - *It could look*: looks come at most half of the timeout apart, and take no longer. After a longer gap the observer
///   itself was stopped, and perhaps everyone was: all silence begins anew.
/// - *Everyone could write*: a write of the observer's own, begun when the writer had been silent for half of the
///   timeout already, was done quickly, and the last of them is no older than half of the timeout. While somebody holds
///   the database's write lock no such write ends. When one has ended late, or has failed, all silence begins anew, so
///   that the others' heartbeats, which waited for the same lock, come first.
///
/// A process that the operating system says is gone needs neither: it is closed as soon as it holds the minimum back.
///
/// Times are those of one clock that stands still while the machine is suspended.
public struct SilenceWatch: Sendable {
    /// What an observer is to do about the writers that it has looked at.
    public struct Decision: Hashable, Sendable {
        /// Silent or gone, and in the minimum's way.
        public var close: [WriterObservation] = []
        /// Silent for so long that readers need not count them any more.
        public var retire: [WriterObservation] = []
        /// Somebody is silent, and it is not known whether anyone could write: the observer has to try.
        public var needsWrite = false

        /// Nothing is to be done.
        public init() {}
    }

    private struct Silence {
        var heartbeat: Int
        var since: Duration
    }

    /// How long a writer is silent before it is closed.
    public let timeout: Duration
    /// How long it is silent before it is retired; at least ``timeout``.
    public let retirement: Duration
    private var silences: [Writer: Silence] = [:]
    private var lastLook: Duration?
    /// When the newest write of this observer that was done quickly began.
    private var lastWrite: Duration?

    /// - Parameters:
    ///   - timeout: how long a writer is silent before it is closed; several times what lies between two heartbeats.
    ///   - retirement: how long it is silent before it is retired; at least the timeout.
    public init(timeout: Duration = .seconds(5), retirement: Duration = .seconds(600)) {
        precondition(.zero < timeout && timeout <= retirement, "a writer is closed before it is retired")
        self.timeout = timeout
        self.retirement = retirement
    }

    /// How long a write may take until it no longer shows that everyone could write.
    public var quickWrite: Duration { timeout / 5 }

    /// Takes what was read of the members between two times, and says what to do.
    ///
    /// - Parameters:
    ///   - own: the observer, which never decides about itself, whatever its epoch.
    ///   - positions: how far the writers are as the observer counts it, which may be further than in the database.
    ///   - newest: the newest known ID. While the minimum has reached it nobody is in the way.
    public mutating func look(
        at writers: [WriterObservation], as own: InstanceName, positions: [Writer: StreamID], minimum: StreamID,
        newest: StreamID, from began: Duration, to ended: Duration
    ) -> Decision {
        let wasStopped = ended - began > timeout / 2 || lastLook.map { began - $0 > timeout / 2 } ?? false
        lastLook = ended
        let before = silences
        silences = [:]
        var decision = Decision()
        for observed in writers where observed.writer.instance != own {
            let writer = observed.writer
            var silence = before[writer] ?? Silence(heartbeat: observed.heartbeat, since: ended)
            if wasStopped || silence.heartbeat != observed.heartbeat {
                silence = Silence(heartbeat: observed.heartbeat, since: ended)
            }
            silences[writer] = silence
            let position = max(positions[writer] ?? observed.position, observed.position)
            let isInTheWay = minimum < newest && position <= minimum
            decide(on: observed, silence, isInTheWay: isInTheWay, now: began, into: &decision)
        }
        return decision
    }

    /// A write of the observer's own was done: its heartbeat, or another one.
    public mutating func wrote(from began: Duration, to ended: Duration) {
        if ended - began > quickWrite { return interrupted(at: ended) }
        lastWrite = max(lastWrite ?? began, began)
    }

    /// The observer could not write or could not look: perhaps nobody could, so nobody has been silent until now.
    public mutating func interrupted(at now: Duration) {
        for writer in silences.keys { silences[writer]?.since = now }
    }

    private func decide(
        on observed: WriterObservation, _ silence: Silence, isInTheWay: Bool, now: Duration,
        into decision: inout Decision
    ) {
        let silentFor = now - silence.since
        if observed.isProcessGone {
            if silentFor >= retirement {
                decision.retire.append(observed)
            } else if isInTheWay {
                decision.close.append(observed)
            }
            return
        }
        let canBeRetired = silentFor >= retirement
        guard canBeRetired || (isInTheWay && silentFor >= timeout / 2) else { return }
        if lastWrite.map({ now - $0 >= timeout / 4 }) ?? true { decision.needsWrite = true }
        guard let lastWrite, lastWrite - silence.since >= timeout / 2, now - lastWrite <= timeout / 2 else { return }
        if canBeRetired {
            decision.retire.append(observed)
        } else if silentFor >= timeout {
            decision.close.append(observed)
        }
    }
}
