/// Whether the next transaction may run on its caller's thread.
///
/// It may while transactions are quick: then waking another thread, and the caller's again, would take a good part of
/// their time, and of the shortest ones as much again. But a caller that never has to wait never lets go of its thread.
/// Where that is the only one, nothing else of the process runs, and no heartbeat either. So after ``longestStreak`` one
/// transaction runs elsewhere.
///
/// Invariant: between two transactions that run elsewhere those that run here take ``longestStreak`` and the last of
/// them together, at most.
struct CallerThreadUse: Sendable {
    /// A larger transaction may take longer than the last one, however quick that was.
    static let maximumEvents = 256
    static let maximumBytes = 256 * 1024
    /// When the last transaction took longer, the next one runs elsewhere.
    static let quickTransaction = Duration.milliseconds(2)
    static let longestStreak = Duration.milliseconds(10)

    /// How long the last one took; nil before there was one.
    private var lastTook: Duration?
    /// How long those took that ran here since one ran elsewhere.
    private var streak = Duration.zero

    var mayBegin: Bool {
        guard let lastTook else { return false }
        return lastTook <= Self.quickTransaction && streak < Self.longestStreak
    }

    /// Whether a transaction of so many events and bytes of payload is one of those that may be quick.
    static func mayTake(events: Int, bytes: Int) -> Bool { events <= maximumEvents && bytes <= maximumBytes }

    mutating func ranHere(for duration: Duration) {
        lastTook = duration
        streak += duration
    }

    mutating func ranElsewhere(for duration: Duration) {
        lastTook = duration
        streak = .zero
    }
}
