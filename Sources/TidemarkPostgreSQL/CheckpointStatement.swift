public import Tidemark

/// The one statement that moves a consumer's checkpoint in a transaction of the user's own, for whatever client begins and
/// commits that.
///
/// It runs in a transaction with `READ COMMITTED`, after what the user makes of the batch's events, or before. Both are there,
/// or neither. It demands that the claim is the newest and that the checkpoint is exactly where the batch begins; otherwise the
/// server ends the transaction, which can only be rolled back then, with one of these states:
///
/// | SQLSTATE | |
/// |---|---|
/// | `TM022` | the batch was dealt with before: go on with a new reader of the consumer |
/// | `TM023` | a batch before it was left out |
/// | `TM010` | another reader has the consumer |
/// | `TM008` | the database was put back |
/// | `TM025` | the database has lost commits, and hands out IDs of the batch again |
/// | `TM001` | the transaction has another isolation level |
///
/// No savepoint may lie around it: whoever rolls back to one that was set before takes the refusal back with it, and must roll
/// the whole transaction back.
public struct CheckpointStatement: Hashable, Sendable {
    /// With the parameters `$1` to `$11`, each of which is taken as text.
    public let sql: String
    /// The values of the parameters, in their order; nil is NULL.
    public let arguments: [String?]
}

extension DurableConsumer {
    /// The statement that moves the checkpoint to the end of a batch.
    ///
    /// - Throws: `TidemarkError.unsuitableTransaction(store:problem:)` for a batch that no reader has made, and where the log's
    ///   store is not PostgreSQL's.
    public func checkpointStatement(_ batch: EventBatch) throws -> CheckpointStatement {
        guard let store = store as? PostgreSQLEventStore else {
            throw TidemarkError.unsuitableTransaction(store: "\(store)", problem: "the log's store is not PostgreSQL's")
        }
        guard let begin = batch.start?.position else {
            throw TidemarkError.unsuitableTransaction(
                store: "\(store)", problem: "no reader has made the batch, so that nobody knows where it begins")
        }
        let (delivered, passed) = (batch.delivered, batch.passed)
        func text(_ number: Int64?) -> String? { number.map { "\($0)" } }
        return CheckpointStatement(
            sql: """
                SELECT \(store.namespace.function("checkpoint_1"))(
                    $1::text, $2::text, $3::text::bigint, $4::text::bigint, convert_to($5::text, 'UTF8'), $6::text::bigint,
                    $7::text::bigint, $8::text::bigint, $9::text::bigint, $10::text::bigint, $11::text::bigint)
                """,
            arguments: [
                claim.stream.rawValue, claim.name.rawValue, "\(claim.generation)", "\(batch.through)",
                String(decoding: batch.snapshot.bytes, as: UTF8.self), text(delivered?.count),
                text(delivered.map { Int64(bitPattern: $0.sum) }), text(passed?.streamID.rawValue),
                text(passed?.mark.rawValue), "\(begin)", "\(claim.key)",
            ])
    }
}
