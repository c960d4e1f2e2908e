public import Tidemark

/// IDs of a scope, with what a transaction has to say to commit them: for any client of the same database, in any language.
///
/// ```swift
/// try await log.withNextID { id in
///     let reservation = try log.reservation(for: [id])
///     try await client.withTransaction { connection in
///         try await connection.query("INSERT INTO letters (id, body) VALUES (\(id.rawValue), \(body))")
///         try await connection.query("\(unescaped: reservation.statement)")
///     }
/// }
/// ```
///
/// The call goes into the same transaction as the caller's own rows, under READ COMMITTED. It waits for nobody, and from then
/// on the transaction shares an advisory lock of the writer until it ends: keep it short. Where it is refused the transaction
/// can only be rolled back. The scope looks the IDs up when it ends, so that nothing has to be reported to it, and one whose
/// transaction was rolled back gets a tombstone.
public struct Reservation: Hashable, Sendable {
    /// Where the functions are.
    public let namespace: PostgresNamespace
    /// The stream that the IDs are of.
    public let stream: StreamName
    /// The writer that the IDs are handed out to.
    public let writer: Writer
    /// The incarnation that handed them out: another one refuses them.
    public let incarnation: Incarnation
    /// At least one.
    public let ids: [StreamID]

    /// The function with placeholders for ``stream``, the writer's instance and epoch, ``incarnation`` and ``ids``, whose
    /// types are `text`, `text`, `bigint`, `bigint` and `bigint[]`. It returns nothing.
    public var placeholderStatement: String {
        "SELECT \(namespace.function("commit_ids_1"))($1, $2, $3, $4, $5)"
    }

    /// The same with its arguments as literals, for clients whose placeholders are written in another way. It is safe to put
    /// into any script: a name that has a quote or a backslash is escaped whatever `standard_conforming_strings` says.
    public var statement: String {
        let numbers = ids.map { "\($0.rawValue)" }.joined(separator: ", ")
        return "SELECT \(namespace.function("commit_ids_1"))(\(Self.literal(stream.rawValue)), "
            + "\(Self.literal(writer.instance.rawValue)), \(writer.epoch), \(incarnation.rawValue), "
            + "ARRAY[\(numbers)]::bigint[])"
    }

    private static func literal(_ text: String) -> String {
        let doubled = text.replacing("'", with: "''")
        return doubled.contains("\\") ? "E'\(doubled.replacing("\\", with: "\\\\"))'" : "'\(doubled)'"
    }
}

extension EventLog {
    /// What a transaction of the caller's own has to say to commit these IDs of a scope that runs.
    ///
    /// - Throws: `TidemarkError.closed(stream:instance:id:)` for an ID that is not of a scope of this log that still has a
    ///   say about it; why this instance does not write; `TidemarkError.unsuitableTransaction(store:problem:)` where the
    ///   store is not PostgreSQL's, or there is no ID.
    public func reservation(for ids: [StreamID]) throws -> Reservation {
        guard let store = store as? PostgreSQLEventStore else {
            throw TidemarkError.unsuitableTransaction(store: "\(store)", problem: "the log's store is not PostgreSQL's")
        }
        guard !ids.isEmpty else {
            throw TidemarkError.unsuitableTransaction(store: store.description, problem: "it names no ID")
        }
        let owner = try owner(committing: ids)
        return Reservation(
            namespace: store.options.namespace, stream: stream, writer: owner.writer, incarnation: owner.incarnation,
            ids: ids)
    }

    /// The same for one ID.
    public func reservation(for id: StreamID) throws -> Reservation { try reservation(for: [id]) }
}
