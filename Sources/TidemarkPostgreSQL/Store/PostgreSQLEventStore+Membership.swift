#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif
import Synchronization
public import Tidemark

extension PostgreSQLEventStore {
    /// How many joins may come between a look at the newest epoch and the join that names it.
    private static let mostJoinsBetween = 5
    /// A process forgets names after each so many heartbeats: once a minute by default.
    private static let heartbeatsBetweenForgetting = 60

    public func join(_ stream: StreamName, as instance: InstanceName, nonce: Int64) async throws -> Joined {
        let subject = CallSubject(stream, instance: instance)
        var attempts = 0
        while true {
            attempts += 1
            let standing = try await writerRow(subject, instance)
            do {
                return try await join(subject, instance, replacing: standing.epoch, nonce: nonce)
            } catch TidemarkError.instanceTaken where attempts < Self.mostJoinsBetween {
                continue
            }
        }
    }

    public func rejoin(_ stream: StreamName, after writer: Writer, nonce: Int64) async throws -> Joined {
        let subject = CallSubject(stream, writer: writer)
        let standing = try await writerRow(subject, writer.instance)
        let isKnown = standing.epoch > 0 || writer.epoch < standing.forgottenEpoch
        let joinedIn = errors.lives[stream, writer]
        if !isKnown || standing.epoch > 0 && writer.epoch > standing.epoch {
            let problem = "it knows nothing of \(writer)"
            guard joinedIn == nil else {
                throw TidemarkError.acknowledgedEventsLost(stream: stream, id: 0, problem: problem)
            }
            throw TidemarkError.databaseWentBackwards(stream: stream, id: 0, problem: problem)
        }
        if standing.isMember, standing.epoch == writer.epoch, standing.nonce != nonce, let joinedIn,
            joinedIn != standing.incarnation
        {
            throw TidemarkError.acknowledgedEventsLost(
                stream: stream, id: 0, problem: "it knows nothing of this \(writer), and of another one")
        }
        let isTaken = standing.isMember ? standing.epoch > writer.epoch : standing.epoch > writer.epoch + 1
        if isTaken, standing.nonce != nonce {
            throw TidemarkError.instanceTaken(
                stream: stream, writer: writer, by: Writer(writer.instance, epoch: standing.epoch))
        }
        return try await join(subject, writer.instance, replacing: standing.epoch, nonce: nonce)
    }

    private struct WriterRow: Sendable {
        /// The newest of the name; 0 where nobody has it.
        let epoch: Int
        let isMember: Bool
        let nonce: Int64
        let forgottenEpoch: Int
        /// In which it joined last.
        let incarnation: Int64
    }

    private func writerRow(_ subject: CallSubject, _ instance: InstanceName) async throws -> WriterRow {
        let sql = """
            SELECT epoch, is_member, nonce, forgotten_epoch, incarnation FROM \(namespace.function("standing_1"))($1, $2)
            """
        let parameters: [PostgresValue] = [.text(subject.stream.rawValue), .text(instance.rawValue)]
        return try await inSnapshot(subject) { session in
            let rows = try session.query(sql, parameters)
            return WriterRow(
                epoch: Int(try rows.int64(0, 0)), isMember: try rows.bool(0, 1), nonce: try rows.int64(0, 2),
                forgottenEpoch: Int(try rows.int64(0, 3)), incarnation: try rows.int64(0, 4))
        }
    }

    private func join(
        _ subject: CallSubject, _ instance: InstanceName, replacing epoch: Int, nonce: Int64
    ) async throws -> Joined {
        let joined = try await exclude(
            subject,
            """
            SELECT epoch, position, raised_from, fence, incarnation, version, members, eras
            FROM \(namespace.function("join_1"))($1, $2, $3, $4, $5, $6, $7)
            """,
            [
                .text(subject.stream.rawValue), .text(instance.rawValue), .int64(Int64(epoch)), .int64(nonce),
                .int32(getpid()), .int64(lifeKey), lockLimitMilliseconds,
            ]
        ) { rows in
            Joined(
                writer: Writer(instance, epoch: Int(try rows.int64(0, 0))),
                membership: try MembersText.membership(
                    rows.text(0, 6), version: rows.int64(0, 5), incarnation: rows.int64(0, 4), eras: rows.text(0, 7)),
                position: StreamID(try rows.int64(0, 1)), raisedFrom: try rows.int64IfAny(0, 2).map { StreamID($0) },
                fence: try rows.int64(0, 3))
        }
        errors.lives.joined(subject.stream, as: joined.writer, in: joined.membership.incarnation)
        try await forgetNames()
        return joined
    }

    public func leave(_ stream: StreamName, as writer: Writer) async throws {
        try await exclude(
            CallSubject(stream, writer: writer), "SELECT \(namespace.function("leave_1"))($1, $2, $3, $4, $5)",
            [
                .text(stream.rawValue), .text(writer.instance.rawValue), .int64(Int64(writer.epoch)),
                .int64(errors.lives[stream, writer]), lockLimitMilliseconds,
            ]
        ) { _ in }
    }

    public func heartbeat(_ beats: [Heartbeat]) async throws -> [HeartbeatAnswer] {
        guard let first = beats.first else { return [] }
        let answers = try await exclude(
            CallSubject(first.stream, writer: first.writer),
            """
            SELECT answer, holder, newest_committed, durable_position
            FROM \(namespace.function("heartbeat_1"))($1, $2, $3, $4, $5, $6, $7, $8, $9)
            """,
            [
                .texts(beats.map(\.stream.rawValue)), .texts(beats.map(\.writer.instance.rawValue)),
                .int64s(beats.map { Int64($0.writer.epoch) }),
                .int64s(beats.map { errors.lives[$0.stream, $0.writer] }), .int64s(beats.map(\.position.rawValue)),
                .int64s(beats.map { Int64($0.inFlight) }), .int64s(beats.map { $0.lowestInFlight?.rawValue }),
                .int64s(beats.map(\.inFlightMilliseconds)), .int64(lifeKey),
            ]
        ) { rows in
            try beats.indices.map { row in
                switch try rows.text(row, 0) {
                case "alive":
                    return HeartbeatAnswer.alive(
                        newestCommitted: StreamID(try rows.int64(row, 2)),
                        durablePosition: StreamID(try rows.int64(row, 3)))
                case "taken":
                    return .taken(by: Writer(beats[row].writer.instance, epoch: Int(try rows.int64(row, 1))))
                default: return .retired
                }
            }
        }
        let count = heartbeats.wrappingAdd(1, ordering: .relaxed).newValue
        if count % Self.heartbeatsBetweenForgetting == 0 { try await forgetNames() }
        return answers
    }

    /// Forgets the names of writers that left long ago. The events that they wrote keep the name.
    private func forgetNames() async throws {
        let limit = Int64(min(options.formerNamesKeptFor / .milliseconds(1), 1e15))
        do {
            try await write(
                "SELECT \(namespace.function("forget_left_1"))($1, 100)", [.int64(limit)], .always
            ) { _ in }
        } catch {
            throw errors.tidemarkError(error)
        }
    }
}

extension PostgreSQLEventStore: ForgettingStore {
    public func forget(_ stream: StreamName, instance: InstanceName) async throws -> Bool {
        try await exclude(
            CallSubject(stream, instance: instance), "SELECT \(namespace.function("forget_1"))($1, $2, $3)",
            [.text(stream.rawValue), .text(instance.rawValue), lockLimitMilliseconds]
        ) { try $0.bool(0, 0) }
    }
}
