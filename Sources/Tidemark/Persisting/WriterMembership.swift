/// What an instance is as a member, and how it becomes one again.
protocol WriterMembership: AnyObject, Sendable {
    /// - Throws: why the instance does not write: it only reads, was stopped, or its name was taken.
    func currentWriter() throws -> Writer
    /// The writer's epoch is over: joins again and returns the new epoch, or the one that it has already.
    ///
    /// - Throws: ``TidemarkError/instanceTaken(stream:writer:by:)`` when another process has the name; from then on
    ///   nothing is written.
    func rejoin(after writer: Writer) async throws -> Writer
    /// Ends the instance's writing for good, for this reason.
    func fail(_ error: TidemarkError)
}
