import GRDB
import Tidemark

/// What the database says about a stream and one of its writers, inside a transaction that has the write lock.
struct WriterState {
    /// The row of the stream, and the row of the writer.
    let streamRow: Int64
    let writerRow: Int64
    let sequence: StreamID
    /// The number of this transaction, if it writes rows, and of the commit before it.
    var nextCommit: Int64
    var previousCommit: Int64
    /// The newest epoch of the instance's name, whether or not it is a member.
    let newest: Writer
    let isMember: Bool
    let position: StreamID
    let heartbeat: Int
    /// How far the stream's index of keys has come.
    let keyIndex: KeyIndexState
    /// How far the stream was pruned.
    let prunedThrough: StreamID
    private let stream: StreamName

    /// - Throws: ``TidemarkError/unknownStream(stream:store:)``, ``TidemarkError/unknownInstance(stream:instance:)``,
    ///   and ``TidemarkError/databaseWentBackwards(stream:id:problem:)`` when the position is above the sequence.
    ///   ``TidemarkError/schemaTooNew(store:found:supported:)`` when the file was migrated meanwhile.
    ///
    /// - Parameter known: an event that is in the database if it is the one that it was; nil when none is known.
    init(
        _ db: Database, stream: StreamName, instance: InstanceName, store: String, known: Delivered? = nil
    ) throws {
        let state = try Query.first(
            db,
            """
            SELECT s.stream, s.sequence, s.commit_number, w.writer, w.epoch, w.is_member, w.position, w.heartbeat,
                (SELECT version FROM tidemark_schema),
                (SELECT commit_number FROM tidemark_events WHERE stream = s.stream AND stream_id = ?3), s.keyed_from,
                s.pruned_through
            FROM tidemark_streams s LEFT JOIN tidemark_instances w ON w.stream = s.stream AND w.instance = ?2
            WHERE s.name = ?1
            """, stream, instance, known?.streamID
        ) { row in
            try Schema.require(version: row.number(8), in: store)
            if let known, row.isNull(9) ? known.streamID > row.streamID(11) : row.number(9) != known.mark.rawValue {
                throw TidemarkError.databaseWentBackwards(
                    stream: stream, id: known.streamID,
                    problem: "what instance \(instance) has committed there is not there now")
            }
            if row.isNull(3) { throw TidemarkError.unknownInstance(stream: stream, instance: instance) }
            return WriterState(row, stream: stream, instance: instance)
        }
        guard let state else { throw TidemarkError.unknownStream(stream: stream, store: store) }
        guard state.position <= state.sequence else {
            throw TidemarkError.databaseWentBackwards(
                stream: stream, id: state.position,
                problem: "\(state.newest) is at \(state.position), but the sequence only at \(state.sequence)")
        }
        self = state
    }

    /// For a writer that has joined, so that its stream and its name have been there.
    ///
    /// - Throws: ``TidemarkError/databaseWentBackwards(stream:id:problem:)``, also when they are not, and
    ///   ``TidemarkError/retired(stream:writer:)`` where the name was forgotten since.
    init(_ db: Database, stream: StreamName, writer: Writer, store: String, known: Delivered? = nil) throws {
        do {
            try self.init(db, stream: stream, instance: writer.instance, store: store, known: known)
        } catch TidemarkError.unknownStream, TidemarkError.unknownInstance {
            let forgotten = try Query.first(
                db, "SELECT forgotten_epoch FROM tidemark_streams WHERE name = ?", stream
            ) { $0.number(0) }
            // The end of the writer's own epoch raised it, and that was forgotten.
            if writer.epoch < forgotten ?? 0 { throw TidemarkError.retired(stream: stream, writer: writer) }
            throw TidemarkError.databaseWentBackwards(
                stream: stream, id: 0, problem: "it knows nothing of \(writer)")
        }
    }

    private init(_ row: Query, stream: StreamName, instance: InstanceName) {
        streamRow = row.number(0)
        sequence = row.streamID(1)
        previousCommit = row.number(2)
        nextCommit = CommitNumber.next(after: previousCommit)
        writerRow = row.number(3)
        newest = Writer(instance, epoch: Int(row.number(4)))
        isMember = row.number(5) == 1
        position = row.streamID(6)
        heartbeat = Int(row.number(7))
        keyIndex = KeyIndexState(row, column: 10)
        prunedThrough = row.streamID(11)
        self.stream = stream
    }

    /// What has become of an epoch of this instance.
    enum EpochState {
        /// The newest, and a member: it may commit above its position.
        case member
        /// Over, and nobody has the name.
        case retired
        case taken(by: Writer)
    }

    /// - Throws: ``TidemarkError/databaseWentBackwards(stream:id:problem:)`` for an epoch that is yet to come.
    func epochState(of writer: Writer) throws -> EpochState {
        if writer.epoch > newest.epoch {
            throw TidemarkError.databaseWentBackwards(
                stream: stream, id: sequence, problem: "it knows nothing of \(writer), only of \(newest)")
        }
        if isMember { return writer.epoch == newest.epoch ? .member : .taken(by: newest) }
        // The end of its own epoch raised it by one. More is somebody who took the name, and has left since.
        return newest.epoch <= writer.epoch + 1 ? .retired : .taken(by: newest)
    }

    /// Rule 4: only the newest epoch of a member may allocate and commit.
    ///
    /// - Throws: ``TidemarkError/retired(stream:writer:)``, ``TidemarkError/instanceTaken(stream:writer:by:)``.
    func requireMember(_ writer: Writer) throws {
        switch try epochState(of: writer) {
        case .member: return
        case .retired: throw TidemarkError.retired(stream: stream, writer: writer)
        case .taken(let holder): throw TidemarkError.instanceTaken(stream: stream, writer: writer, by: holder)
        }
    }

    /// Rule 4 for an ID that was allocated before: it is above the writer's durable position, and no row holds it.
    ///
    /// - Throws: ``TidemarkError/closed(stream:instance:id:)``.
    func requireFree(_ id: StreamID, in rows: EventRows) throws {
        if try id <= position || rows.isTaken(id) {
            throw TidemarkError.closed(stream: stream, instance: newest.instance, id: id)
        }
    }

    /// - Throws: ``TidemarkError/databaseWentBackwards(stream:id:problem:)`` when the ID was never handed out.
    func requireAllocated(_ id: StreamID) throws {
        guard id <= sequence else {
            throw TidemarkError.databaseWentBackwards(
                stream: stream, id: id, problem: "the sequence has handed out no ID above \(sequence)")
        }
    }

    /// Writes down that this transaction wrote rows, and how far it took the sequence.
    func recordCommit(_ db: Database, sequence newSequence: StreamID) throws {
        try Query.run(
            db,
            "UPDATE tidemark_streams SET sequence = ?, commit_number = ?, previous_commit = ? WHERE stream = ?",
            newSequence, nextCommit, previousCommit, streamRow)
    }
}
