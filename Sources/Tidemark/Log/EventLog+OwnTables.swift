import Synchronization

extension EventLog {
    /// For stores that let users put IDs into transactions of their own: as whom they are committed.
    ///
    /// What becomes of the transaction is not reported back: the scope asks the database when it ends, as for every ID
    /// for which it saw no acknowledged commit.
    ///
    /// - Throws: why this instance does not write, or ``TidemarkError/closed(stream:instance:id:)`` for an ID that is
    ///   not of a scope of this log that still has a say about it.
    package func writer(committing ids: [StreamID]) throws -> Writer {
        let writer = try membership.currentWriter()
        let open = scopes.withLock { scopes in ids.map { scopes[$0] == false } }
        for (id, isOpen) in zip(ids, open) where !isOpen || !generator.holds(id) {
            throw TidemarkError.closed(stream: stream, instance: instance, id: id)
        }
        return writer
    }

    /// The database refused such a commit, for this reason; what the caller is told.
    package func refusedCommit(of id: StreamID, _ error: TidemarkError) -> TidemarkError {
        if error.isFinal { membership.fail(error) }
        guard case .retired = error else { return error }
        // The ID went with its epoch. The next scope begins with joining again.
        return .closed(stream: stream, instance: instance, id: id)
    }
}
