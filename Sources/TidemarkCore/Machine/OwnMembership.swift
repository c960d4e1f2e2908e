/// What this instance is as a member of the stream, and how it becomes one again.
///
/// An epoch ends when the writer was retired; then it joins again, once at a time, with one random number for all
/// attempts, so that an attempt whose answer was lost is not made twice. Once the log is told to end nobody joins any
/// more, and a join that is under way leaves again.
public struct OwnMembership: Sendable {
    /// What a caller that needs a newer epoch has to do.
    public enum Step: Hashable, Sendable {
        /// Join after this epoch; ``StreamMachine/joined(_:now:)`` or ``StreamMachine/joinFailed()`` follows.
        case join(after: Writer, nonce: Int64)
        /// Another caller joins already.
        case wait
        /// A newer epoch is there.
        case joined(Writer)
        /// The log was told to end.
        case stopped
    }

    /// The last epoch, whether or not it may still write; nil for a reader.
    private(set) var writer: Writer?
    /// What the writer's groups name (rule 5).
    private(set) var fence: Int64
    private(set) var isStopped = false
    private var isJoining = false
    /// The nonce of the join that is under way, or whose answer was lost: that join may have been made all the same.
    private var nonce: Int64?

    init(writer: Writer?, fence: Int64) {
        self.writer = writer
        self.fence = fence
    }

    /// - Parameter random: at least 1; the nonce, where none was drawn yet.
    mutating func rejoin(after old: Writer, random: Int64) -> Step {
        if isStopped { return .stopped }
        if isJoining { return .wait }
        if let writer, writer.epoch > old.epoch { return .joined(writer) }
        isJoining = true
        let drawn = nonce ?? random
        nonce = drawn
        return .join(after: old, nonce: drawn)
    }

    /// False where the log was told to end meanwhile: the new epoch has to leave.
    mutating func joined(_ writer: Writer, fence: Int64) -> Bool {
        isJoining = false
        nonce = nil
        self.writer = writer
        self.fence = fence
        return !isStopped
    }

    /// The database has raised the fence of this epoch.
    mutating func fenced(_ writer: Writer, at fence: Int64) {
        if writer == self.writer { self.fence = max(self.fence, fence) }
    }

    mutating func joinFailed() { isJoining = false }

    /// From now on nobody writes and nobody joins.
    mutating func stop() { isStopped = true }
}
