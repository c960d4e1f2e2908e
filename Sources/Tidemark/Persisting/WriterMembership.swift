/// What an instance is as a member, and how it becomes one again.
protocol WriterMembership: AnyObject, Sendable {
    /// - Throws: why the instance does not write: it only reads, was stopped, or its name was taken.
    func currentWriter() throws -> Writer
    /// The writer was retired, and nobody took its name: joins again and returns the new epoch. Does nothing when that
    /// has happened already.
    func rejoin(after writer: Writer) async throws -> Writer
    /// Another process took the name: from now on nothing is written.
    func nameWasTaken(_ error: TidemarkError)
}
