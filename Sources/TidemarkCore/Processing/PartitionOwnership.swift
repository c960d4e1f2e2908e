/// A process that runs a processor, as one look at the database shows it.
public struct ProcessSighting: Hashable, Sendable {
    /// The process.
    public let process: ProcessorProcess
    /// Counts up with each sign of life.
    public let heartbeat: Int64
    /// Whether the operating system says that the process is gone; false where it cannot tell.
    public let isGone: Bool

    /// For stores, from one snapshot.
    public init(process: ProcessorProcess, heartbeat: Int64, isGone: Bool = false) {
        self.process = process
        self.heartbeat = heartbeat
        self.isGone = isGone
    }
}

/// A partition, as one look at the database shows it.
public struct PartitionSighting: Hashable, Sendable {
    /// The number of the partition, from 0.
    public let partition: Int
    /// Nil where nobody has it.
    public let owner: ProcessorProcess?
    /// Grows with each claim.
    public let claim: Int
    /// How many of its parked events are to be tried again.
    public let retries: Int
    /// Everything of the partition at or below it is done; nil where the store's database cannot lose what it has acknowledged.
    public let position: StreamID?

    /// For stores, from one snapshot.
    public init(partition: Int, owner: ProcessorProcess?, claim: Int, retries: Int = 0, position: StreamID? = nil) {
        self.position = position
        self.partition = partition
        self.owner = owner
        self.claim = claim
        self.retries = retries
    }
}

/// A partition that is to be claimed, if it still is what was observed: whose it was, and that one's heartbeat.
public struct PartitionObservation: Hashable, Sendable {
    /// The number of the partition, from 0.
    public let partition: Int
    /// Its newest claim, as it was observed.
    public let claim: Int
    /// Whose it was; nil where nobody had it.
    public let owner: ProcessorProcess?
    /// Nil where it does not matter: nobody owns it, its process is gone, or it is the observer itself.
    public let heartbeat: Int64?

    /// Made by ``PartitionOwnership``, and by tests of stores.
    public init(partition: Int, claim: Int, owner: ProcessorProcess?, heartbeat: Int64?) {
        self.partition = partition
        self.claim = claim
        self.owner = owner
        self.heartbeat = heartbeat
    }
}

/// Which process is to have which partition, as one process sees it: a value that is told what each look at the database showed.
///
/// A partition without an owner, or with one that is silent for the timeout or whose process is gone, is claimed by the process
/// that is to have it. An owner that lives is never robbed: it gives back what another one is to have, one partition with each
/// heartbeat.
public struct PartitionOwnership: Sendable {
    /// What a process is to do about partitions.
    public struct Decision: Hashable, Sendable {
        /// To be claimed, each if it still is what was observed.
        public var claim: [PartitionObservation] = []
        /// Given back, because another process is to have it.
        public var release: Int?
        /// What another process has by now.
        public var lost: [Int] = []
        /// Processes that are gone and own nothing: their rows may be removed.
        public var forget: [ProcessSighting] = []
    }

    private struct Silence {
        var heartbeat: Int64
        var duration = Duration.zero
    }

    /// The process that decides.
    public let process: ProcessorProcess
    private let timeout: Duration
    private var silences: [ProcessorProcess: Silence] = [:]
    private var lastLook: Duration?

    /// Traps unless the timeout, after which a silent process loses its partitions, is above 0.
    public init(process: ProcessorProcess, timeout: Duration) {
        precondition(timeout > .zero, "who is silent for no time at all?")
        self.process = process
        self.timeout = timeout
    }

    /// What follows from a look at the database, in which this process has written its own heartbeat.
    ///
    /// - Parameters:
    ///   - owned: the partitions that this process takes for its own, and its claim of each.
    ///   - places: what it took for their durable positions before it looked. Where the database has lost such a place the
    ///     partition is claimed again, from where it is.
    ///   - mayClaim: whether it may take the partition now.
    ///   - isReleasing: whether it is about to give one back already.
    ///   - awake: the time on a clock that stands still while the machine is suspended.
    public mutating func look(
        _ processes: [ProcessSighting], _ partitions: [PartitionSighting], owned: [Int: Int],
        places: [Int: StreamID] = [:], isReleasing: Bool, mayClaim: (Int) -> Bool, awake: Duration
    ) -> Decision {
        measureSilence(of: processes, awake)
        let living = processes.filter { $0.process == process || !isDead($0) }.map(\.process)
        var sightings: [ProcessorProcess: ProcessSighting] = [:]
        for sighting in processes { sightings[sighting.process] = sighting }
        var decision = Decision()
        for partition in partitions {
            let number = partition.partition
            let isBelow = partition.position.map { $0 < places[number] ?? 0 } ?? false
            if let claim = owned[number], claim != partition.claim || partition.owner != process || isBelow {
                decision.lost.append(number)
            }
            // Only the database knows of a claim whose answer was lost, or that came while an earlier one still had handlers. The
            // partition is claimed again, also by a process that is not to have it, which gives it back. No other may take it.
            let isOwn = owned[number] == partition.claim && partition.owner == process && !isBelow
            let chosen = Self.chosen(number, among: living)
            if isOwn {
                if chosen != process, !isReleasing, decision.release == nil { decision.release = number }
            } else if chosen == process || partition.owner == process, mayClaim(number) || owned[number] != nil {
                if let observation = claimable(partition, sightings) { decision.claim.append(observation) }
            }
        }
        let owners = Set(partitions.compactMap(\.owner))
        decision.forget = processes.filter { $0.process != process && isDead($0) && !owners.contains($0.process) }
        return decision
    }

    /// Nil while its owner lives.
    private func claimable(
        _ partition: PartitionSighting, _ sightings: [ProcessorProcess: ProcessSighting]
    ) -> PartitionObservation? {
        var heartbeat: Int64?
        if let owner = partition.owner, owner != process, let sighting = sightings[owner] {
            guard isDead(sighting) else { return nil }
            heartbeat = sighting.isGone ? nil : sighting.heartbeat
        }
        return PartitionObservation(
            partition: partition.partition, claim: partition.claim, owner: partition.owner, heartbeat: heartbeat)
    }

    private static func chosen(_ partition: Int, among living: [ProcessorProcess]) -> ProcessorProcess? {
        living.max { left, right in
            (left.weight(of: partition), left.rawValue) < (right.weight(of: partition), right.rawValue)
        }
    }

    private func isDead(_ sighting: ProcessSighting) -> Bool {
        sighting.isGone || silences[sighting.process].map { $0.duration >= timeout } ?? false
    }

    /// The time between two looks counts for a quarter of the timeout at most: where this process could not look, or the
    /// database took nobody's heartbeat, that says nothing about the others.
    private mutating func measureSilence(of processes: [ProcessSighting], _ awake: Duration) {
        let passed = min(awake - (lastLook ?? awake), timeout / 4)
        lastLook = awake
        var next: [ProcessorProcess: Silence] = [:]
        for sighting in processes {
            if var silence = silences[sighting.process], silence.heartbeat == sighting.heartbeat {
                silence.duration += passed
                next[sighting.process] = silence
            } else {
                next[sighting.process] = Silence(heartbeat: sighting.heartbeat)
            }
        }
        silences = next
    }
}
