import Tidemark

/// The state of a database that keeps the rules of `EventStore`, as a value: a snapshot is a copy, and a transaction
/// that fails is one whose copy is thrown away.
public struct InMemoryDatabase: Sendable {
    /// What the database has of a writer.
    public struct WriterRow: Hashable, Sendable {
        /// The newest epoch of the name.
        public var epoch = 0
        /// Whether that epoch is a member.
        public var isMember = false
        /// Drawn at each join.
        public var nonce: Int64 = 0
        /// The durable position.
        public var position: StreamID = 0
        /// Whether somebody else raised the position since the last heartbeat.
        public var isClosed = false
        /// How many heartbeats were written.
        public var heartbeat = 0
        /// What a group has to name: raised when groups of unknown outcome are settled.
        public var fence: Int64 = 0
        /// What the operating system would say of the process that joined.
        public var isProcessGone = false
        /// As the last heartbeat says.
        public var inFlight = 0
        /// As the last heartbeat says.
        public var lowestInFlight: StreamID?
        /// As the last heartbeat says.
        public var inFlightMilliseconds: Int64 = 0

        /// Who has taken the name of a writer that is not this one; nil where nobody has. The end of its own epoch
        /// raised it by one: more is somebody who may have left since.
        func taker(after writer: Writer) -> Writer? {
            let isTaken = isMember ? epoch != writer.epoch : epoch > writer.epoch + 1
            return isTaken ? Writer(writer.instance, epoch: epoch) : nil
        }
    }

    /// What holds an ID.
    public enum Row: Hashable, Sendable {
        /// An event.
        case event(PersistedEvent)
        /// Nothing, for good. The mark is of the commit that wrote it.
        case tombstone(CommitMark)
    }

    /// One stream, with all that belongs to it.
    public struct Stream: Sendable {
        /// The newest ID that was handed out.
        public internal(set) var sequence: StreamID = 0
        /// Grows with each join, leave and retirement.
        public internal(set) var membershipVersion = 1
        /// The number of the newest commit.
        public internal(set) var commitNumber: Int64 = 0
        /// All writers that ever joined, members or not.
        public internal(set) var writers: [InstanceName: WriterRow] = [:]
        /// The highest epoch of names that were forgotten.
        public internal(set) var forgottenEpoch = 0
        /// Those names: events keep them.
        var formerNames: Set<InstanceName> = []
        /// The rows by their IDs.
        public internal(set) var rows: [StreamID: Row] = [:]
        /// The stream ID of each event's id, by its UTF-8.
        public internal(set) var ids: [[UInt8]: StreamID] = [:]
        /// How far the index of keys has come.
        public internal(set) var keyIndex = KeyIndexState.missing
        /// The index: the stream IDs of each key's events, ascending, by the key's UTF-8.
        var keys: [[UInt8]: [StreamID]] = [:]
        /// What was pruned.
        public internal(set) var pruned = PrunedPrefix()
        /// The writers of events that were pruned, as long as their ids stay.
        var prunedWriters: [StreamID: InstanceName] = [:]
        /// The newest event of each key that lost events to pruning.
        var prunedKeys: [[UInt8]: StreamID] = [:]
        /// The consumers with their checkpoints.
        public internal(set) var consumers: [ConsumerName: ConsumerRow] = [:]
        /// The processors, by the names of their consumers.
        public internal(set) var processors: [ConsumerName: ProcessorRow] = [:]
        /// Which incarnation of the database it is in.
        public internal(set) var incarnation = Incarnation.firstInMemory
        /// Where each incarnation begins.
        public internal(set) var eras = [Era(.firstInMemory, after: 0)]
        /// What commit numbers and the like grow by: another life of the database counts otherwise.
        var steps: RandomSteps
        /// Whether the versions of the members are counted, as they must not be.
        var countsVersions = false
        /// Whether nobody compares where eras begin, as somebody must.
        var ignoresEras = false

        init(steps: RandomSteps) { self.steps = steps }

        /// The members now.
        public var membership: Membership {
            var members: [Writer: StreamID] = [:]
            var nonces: [Writer: Int64] = [:]
            for (name, row) in writers where row.isMember {
                let writer = Writer(name, epoch: row.epoch)
                members[writer] = row.position
                nonces[writer] = row.nonce
            }
            return Membership(
                members: members, version: membershipVersion, nonces: nonces, incarnation: incarnation,
                eras: eras.suffix(Membership.mostEras))
        }

        /// The highest ID with a row, or that had one before it was pruned; 0 where there is none.
        public var newestRow: StreamID { max(rows.keys.max() ?? 0, pruned.through) }
        /// The highest ID with an event, or that had one before it was pruned; 0 where there is none.
        public var newestEvent: StreamID { events.last?.streamID ?? pruned.last?.streamID ?? 0 }

        /// Ascending.
        public var events: [PersistedEvent] {
            rows.values.compactMap { row in
                if case .event(let event) = row { event } else { nil }
            }.sorted { $0.streamID < $1.streamID }
        }
    }

    /// The streams that were joined, or that a consumer claimed.
    public internal(set) var streams: [StreamName: Stream] = [:]
    /// What draws nonces and steps: a database that is put back goes on where it was.
    var random: SplitMix64
    /// Drawn when it was made.
    public let id: DatabaseID

    /// - Parameter seed: what is drawn follows from it.
    public init(seed: UInt64 = 0) {
        random = SplitMix64(seed: seed)
        // Of its own: what is drawn from the seed otherwise stays what it was.
        id = DatabaseID(Int64(SplitMix64.mixed(seed) >> 1))
    }

    /// The database as it was at another time, put in the place of this one: from there on it has another life.
    public mutating func restore(_ other: InMemoryDatabase) {
        var random = random
        self = other
        for name in streams.keys.sorted() { streams[name]?.steps = RandomSteps(seed: random.next()) }
        _ = random.next()
        self.random = random
    }

    /// The stream, made where it is missing.
    func existing(orNew name: StreamName) -> Stream { streams[name] ?? Stream(steps: RandomSteps(seed: random.state)) }

    // MARK: Membership

    /// - Parameter nonce: whoever asks again with the same one gets the epoch that it has; 0 has one drawn.
    public mutating func join(_ name: StreamName, as instance: InstanceName, nonce: Int64 = 0) -> Joined {
        var stream = existing(orNew: name)
        if nonce != 0, let row = stream.writers[instance], row.isMember, row.nonce == nonce {
            return Joined(
                writer: Writer(instance, epoch: row.epoch), membership: stream.membership, position: row.position,
                fence: row.fence)
        }
        let highest = stream.writers.values.map(\.position).max() ?? 0
        let before = stream.sequence
        stream.sequence = max(before, stream.newestRow, highest)
        var row = stream.writers[instance] ?? WriterRow(epoch: stream.forgottenEpoch)
        row.epoch += 1
        row.isMember = true
        row.nonce = nonce != 0 ? nonce : max(Int64(random.next() >> 1), 1)
        row.isClosed = false
        row.position = stream.sequence
        row.heartbeat += 1
        row.isProcessGone = false
        stream.writers[instance] = row
        stream.raiseMembershipVersion()
        streams[name] = stream
        return Joined(
            writer: Writer(instance, epoch: row.epoch), membership: stream.membership, position: stream.sequence,
            raisedFrom: before < stream.sequence ? before : nil, fence: row.fence)
    }

    /// - Parameter nonce: whoever asks again with the same one gets the epoch that it has by now; 0 never does.
    public mutating func rejoin(
        _ name: StreamName, after writer: Writer, nonce: Int64 = 0
    ) throws(TidemarkError) -> Joined {
        if let stream = streams[name], let row = stream.writers[writer.instance],
            let holder = row.taker(after: writer), holder.epoch > writer.epoch
        {
            guard nonce != 0, row.nonce == nonce else {
                throw .instanceTaken(stream: name, writer: writer, by: holder)
            }
            if row.isMember {
                return Joined(
                    writer: holder, membership: stream.membership, position: row.position, fence: row.fence)
            }
        }
        return join(name, as: writer.instance, nonce: nonce)
    }

    /// The database has crashed, or was promoted, and lost what its sequence had handed out above `sequence`: another
    /// incarnation begins, with the end of all epochs.
    public mutating func beginIncarnation(of name: StreamName, sequence: StreamID) {
        guard var stream = streams[name] else { return }
        stream.incarnation = Incarnation(Int64(random.next() >> 1))
        let highest = stream.writers.values.map(\.position).max() ?? 0
        // One ID is left out, so that no two eras begin at the same place.
        stream.sequence = StreamID(max(sequence, stream.newestRow, highest).rawValue + 1)
        stream.eras.append(Era(stream.incarnation, after: stream.sequence))
        streams[name] = stream
        for instance in stream.writers.keys.sorted() where stream.writers[instance]?.isMember == true {
            endEpoch(of: instance, in: name)
        }
    }

    /// The orderly end of an epoch. Does nothing where it is over.
    public mutating func leave(_ name: StreamName, as writer: Writer) {
        guard let row = streams[name]?.writers[writer.instance], row.isMember, row.epoch == writer.epoch else { return }
        endEpoch(of: writer.instance, in: name)
    }

    /// Takes the instance off the members, whatever its heartbeat says. Throws where nobody knows the name.
    public mutating func retire(_ name: StreamName, instance: InstanceName) throws(TidemarkError) {
        if try found(instance, in: name).row.isMember { endEpoch(of: instance, in: name) }
    }

    /// Forgets the name of a writer that left; false where it is a member. Throws where nobody knows the name.
    public mutating func forget(_ name: StreamName, instance: InstanceName) throws(TidemarkError) -> Bool {
        var (stream, row) = try found(instance, in: name)
        if row.isMember { return false }
        stream.writers[instance] = nil
        stream.formerNames.insert(instance)
        stream.forgottenEpoch = max(stream.forgottenEpoch, row.epoch)
        streams[name] = stream
        return true
    }

    /// Raises the position of the instance to the sequence, and returns it. Throws where nobody knows the name.
    public mutating func closeWriter(_ name: StreamName, instance: InstanceName) throws(TidemarkError) -> StreamID {
        var (stream, row) = try found(instance, in: name)
        row.position = max(row.position, stream.sequence)
        row.isClosed = true
        stream.writers[instance] = row
        streams[name] = stream
        return row.position
    }

    /// Takes a promise and a sign of life. Throws where the promise is above the sequence, or nobody knows the name.
    public mutating func heartbeat(_ beat: Heartbeat) throws(TidemarkError) -> HeartbeatAnswer {
        var (stream, row): (Stream, WriterRow)
        switch try standing(of: beat.writer, in: beat.stream) {
        case .member(let found, let writer): (stream, row) = (found, writer)
        case .retired: return .retired
        case .taken(let holder): return .taken(by: holder)
        }
        guard beat.position <= stream.sequence else {
            throw .databaseWentBackwards(
                stream: beat.stream, id: beat.position, problem: "the sequence is at \(stream.sequence)")
        }
        row.isClosed = row.isClosed && row.position > beat.position
        row.position = max(row.position, beat.position)
        row.heartbeat += 1
        row.inFlight = beat.inFlight
        row.lowestInFlight = beat.lowestInFlight
        row.inFlightMilliseconds = beat.inFlightMilliseconds
        stream.writers[beat.writer.instance] = row
        streams[beat.stream] = stream
        return .alive(newestCommitted: stream.newestRow, durablePosition: row.position)
    }

    /// What the database has of a name. Throws where nobody knows it.
    func found(_ instance: InstanceName, in name: StreamName) throws(TidemarkError) -> (stream: Stream, row: WriterRow)
    {
        guard let stream = streams[name] else { throw .unknownStream(stream: name, store: "memory") }
        guard let row = stream.writers[instance] else { throw .unknownInstance(stream: name, instance: instance) }
        return (stream, row)
    }

    /// What has become of an epoch.
    enum WriterState {
        case member(Stream, WriterRow)
        case retired
        case taken(by: Writer)
    }

    /// For a writer that has joined, so that its stream and its name have been there. Throws
    /// ``TidemarkError/databaseWentBackwards(stream:id:problem:)`` where they are not, or only in earlier epochs.
    func standing(of writer: Writer, in name: StreamName) throws(TidemarkError) -> WriterState {
        guard let stream = streams[name] else {
            throw .databaseWentBackwards(stream: name, id: 0, problem: "it knows nothing of \(writer)")
        }
        guard let row = stream.writers[writer.instance] else {
            // The end of the writer's own epoch raised it, and that was forgotten.
            if writer.epoch < stream.forgottenEpoch { return .retired }
            throw .databaseWentBackwards(stream: name, id: 0, problem: "it knows nothing of \(writer)")
        }
        guard writer.epoch <= row.epoch else {
            throw .databaseWentBackwards(
                stream: name, id: stream.sequence, problem: "it knows \(writer.instance) up to epoch \(row.epoch)")
        }
        if row.epoch == writer.epoch && row.isMember { return .member(stream, row) }
        return row.taker(after: writer).map { .taken(by: $0) } ?? .retired
    }

    mutating func endEpoch(of instance: InstanceName, in name: StreamName) {
        streams[name]?.writers[instance]?.epoch += 1
        streams[name]?.writers[instance]?.isMember = false
        streams[name]?.raiseMembershipVersion()
    }
}
