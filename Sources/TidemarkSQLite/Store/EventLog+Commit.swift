import GRDB
import Synchronization
import Tidemark

extension EventLog {
    /// Commits IDs of a scope of this log together with what the caller writes into tables of its own, in the caller's
    /// transaction: either all of it is there, in the IDs' places in the stream, or nothing.
    ///
    /// ```swift
    /// try await log.withNextID { id in
    ///     try await store.write { db in
    ///         try db.execute(sql: "INSERT INTO outbox (stream_id, letter) VALUES (?, ?)", arguments: [id.rawValue, letter])
    ///         try log.commit([id], in: db)
    ///     }
    /// }
    /// ```
    ///
    /// It puts the IDs' rows beside those of other events, after the same checks (rule 4). After an error, the
    /// transaction can only be rolled back: it does not commit even where the caller swallows the error. The scope
    /// looks the rows up when it ends, so that an ID whose transaction was rolled back, or a savepoint around this
    /// call, gets a tombstone.
    ///
    /// `db` is best that of ``SQLiteEventStore/write(_:)``. A connection of the caller's own is one of the same file,
    /// whose main database it is, with `PRAGMA synchronous = FULL`: GRDB's `DatabasePool` sets it to NORMAL when it
    /// opens, after `prepareDatabase` has run, so that it is to be set in
    /// `pool.writeWithoutTransaction { try $0.execute(sql: "PRAGMA synchronous = FULL") }` once; on macOS, where `fsync`
    /// does not wait for the disk, with `PRAGMA fullfsync = ON` too. Without its turn among
    /// the writers it may wait long, or fail with `SQLITE_BUSY`, where others write without a pause.
    ///
    /// - Throws: `TidemarkError.closed(stream:instance:id:)` for an ID that is not of a scope that runs, or was
    ///   closed or abandoned: take a new one. `TidemarkError.instanceTaken(stream:writer:by:)`,
    ///   `TidemarkError.databaseWentBackwards(stream:id:problem:)`,
    ///   `TidemarkError.unsuitableTransaction(store:problem:)`, or GRDB's `DatabaseError`.
    public func commit(_ ids: [StreamID], in db: Database) throws {
        guard let first = ids.first else { return }
        do {
            try commit(ids, in: OwnTransaction(db, of: store))
        } catch let error as TidemarkError {
            let refusal = refusedCommit(of: first, error)
            RefusedTransaction.refuse(db, because: refusal)
            throw refusal
        } catch {
            RefusedTransaction.refuse(db, because: error)
            throw error
        }
    }

    private func commit(_ ids: [StreamID], in transaction: OwnTransaction) throws {
        let writer = try writer(committing: ids)
        let (db, store) = (transaction.db, transaction.store)
        let last = store.commits.withLock { $0.last(in: stream, by: writer) }
        var state = try WriterState(db, stream: stream, writer: writer, store: store.path, known: last)
        try state.requireMember(writer)
        transaction.number(&state)
        let rows = EventRows(db, state, persistedAt: store.configuration.wallClockMilliseconds())
        for id in ids {
            try state.requireAllocated(id)
            try state.requireFree(id, in: rows)
            try rows.insertOwn(id)
        }
        try state.recordCommit(db, sequence: state.sequence)
    }
}
