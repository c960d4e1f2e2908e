/// How this instance joins, goes on in another epoch, and ends.
extension StreamMachine {
    /// The epoch `writer` is over.
    ///
    /// - Parameter random: at least 1; becomes the new writer's nonce.
    public mutating func rejoin(after writer: Writer, random: Int64) -> JoinStep {
        membership.rejoin(after: writer, random: random)
    }

    /// The join has made a new epoch.
    ///
    /// - Returns: false where the log was told to end meanwhile: the new epoch has to leave.
    public mutating func joined(_ joined: Joined, now: Duration) -> Bool {
        if joined.membership.incarnation != ownIncarnation {
            // What it was given before is void, or committed under an epoch that is over. It may be handed out again.
            reportClosed(tracker.forgetInFlight())
            ownIncarnation = joined.membership.incarnation
            seenIncarnation = ownIncarnation
        }
        // The positions first: nothing is persisted in the new epoch before its position counts for it.
        tracker.pin(to: joined.writer, nonce: joined.nonce)
        reportClosed(tracker.take(joined.membership, newestCommitted: 0))
        guard membership.joined(joined.writer, fence: joined.fence) else { return false }
        announcer.joined(as: Speaker(joined.writer, nonce: joined.nonce), at: joined.position)
        changed(now: now)
        begin(now: now)
        return true
    }

    /// The join that was begun failed, or its answer was lost.
    public mutating func joinFailed() { membership.joinFailed() }

    /// The database has raised the fence of the writer: its groups name this one from now on.
    public mutating func fenced(_ writer: Writer, at fence: Int64) { membership.fenced(writer, at: fence) }

    /// From now on nobody writes, nobody joins, and nothing is said.
    public mutating func stop() {
        membership.stop()
        stopRunning()
        announcer.left()
    }
}
