/// When a question that everyone is asked is answered: at once after a quiet time, and otherwise once an interval, for all
/// who have asked by then. An answer goes to everyone, so one is enough.
public struct AnswerSchedule: Sendable {
    private let interval: Duration
    private var answeredAt: Duration?
    /// When ``look(at:)`` is to be called; nil while nobody waits for an answer.
    public private(set) var nextAnswer: Duration?

    /// - Parameter interval: the least time between two answers.
    public init(interval: Duration) { self.interval = interval }

    /// Somebody asks. Whether to answer now.
    public mutating func asked(at now: Duration) -> Bool {
        nextAnswer = nextAnswer ?? answeredAt.map { max(now, $0 + interval) } ?? now
        return look(at: now)
    }

    /// Whether to answer now.
    public mutating func look(at now: Duration) -> Bool {
        guard let nextAnswer, nextAnswer <= now else { return false }
        self.nextAnswer = nil
        answeredAt = now
        return true
    }
}
