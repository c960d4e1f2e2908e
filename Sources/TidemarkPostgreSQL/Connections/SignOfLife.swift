/// The session lock by which others see that a process is connected: it is gone when the process is, and a few seconds
/// after its network was cut.
struct SignOfLife: Hashable, Sendable {
    /// The key of an advisory lock of one number. The upper 16 bits are the same for all of ours, the rest is random: a
    /// new one for each connection.
    let key: Int64

    static let keyPrefix: Int64 = 0x7469

    static func random() -> SignOfLife {
        SignOfLife(key: keyPrefix << 48 | Int64.random(in: 0..<1 << 48))
    }

    /// An SQL expression that is true when nobody holds the lock of this key; the database is that of the session.
    ///
    /// It takes the lock itself until the transaction ends, in the mode that does not keep others from the same look.
    /// The holder's is exclusive, and no process takes a key that another one had.
    static func isGone(key: String) -> String { "pg_try_advisory_xact_lock_shared(\(key))" }
}
