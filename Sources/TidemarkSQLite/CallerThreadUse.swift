/// Whether the next transaction may run on the thread of whoever asks for it.
///
/// It may while transactions are quick: then waking another thread, and the caller's again, would take as long as they
/// do. But a caller that never has to wait never lets go of its thread, and where that is the only one, nothing else of
/// the process runs, its heartbeat neither. So after ``longestStreak`` one transaction runs elsewhere.
///
/// Invariant: between two transactions that run elsewhere those that run here begin within ``longestStreak``.
struct CallerThreadUse: Sendable {
    /// When the last transaction took longer, the next one runs elsewhere.
    static let quickTransaction = Duration.microseconds(500)
    static let longestStreak = Duration.milliseconds(10)

    /// How long the last one took; nil before there was one.
    private var lastTook: Duration?
    /// When the first of those began that ran here since one ran elsewhere.
    private var streakBegan: Duration?

    mutating func mayBegin(at now: Duration) -> Bool {
        guard let lastTook, lastTook <= Self.quickTransaction else { return false }
        let began = streakBegan ?? now
        guard now - began < Self.longestStreak else { return false }
        streakBegan = began
        return true
    }

    mutating func ranHere(for duration: Duration) {
        lastTook = duration
    }

    mutating func ranElsewhere(for duration: Duration) {
        lastTook = duration
        streakBegan = nil
    }
}
