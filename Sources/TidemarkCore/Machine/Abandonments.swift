/// IDs that were given up, until the database has said what became of them (rule 5).
///
/// The database is asked again with growing delays, for as long as the instance lives. IDs that came too late for their
/// fetch are asked for once: nothing waits for them, and a tombstone lets the runs of finished IDs pass.
struct Abandonments: Sendable {
    private struct Entry {
        let ids: [StreamID]
        let isLate: Bool
        let incarnation: Incarnation
        /// When the database is asked; nil while it is.
        var askAt: Duration?
        var backoff = Backoff(shortest: .milliseconds(50), longest: .seconds(30))
    }

    private var entries: [Int: Entry] = [:]

    var isEmpty: Bool { entries.isEmpty }

    /// - Parameter incarnation: which one handed the IDs out.
    mutating func add(_ ids: [StreamID], scope: Int, of incarnation: Incarnation, isLate: Bool, now: Duration) {
        entries[scope] = Entry(ids: ids, isLate: isLate, incarnation: incarnation, askAt: now)
    }

    /// Those that are to be asked for now. Each is answered by ``settled(_:)`` or ``failed(_:random:now:)``.
    mutating func takeDue(now: Duration) -> [StreamMachine.GivenUpIDs] {
        if entries.isEmpty { return [] }
        var due: [StreamMachine.GivenUpIDs] = []
        for (scope, entry) in entries {
            guard let askAt = entry.askAt, askAt <= now else { continue }
            entries[scope]?.askAt = nil
            due.append(
                StreamMachine.GivenUpIDs(
                    scope: scope, ids: entry.ids, isFirst: entry.backoff.failures == 0, isLate: entry.isLate,
                    incarnation: entry.incarnation))
        }
        return due.sorted { $0.scope < $1.scope }
    }

    /// The IDs, whether they came too late, and the incarnation that handed them out; nil where they were settled before.
    mutating func settled(_ scope: Int) -> (ids: [StreamID], isLate: Bool, incarnation: Incarnation)? {
        entries.removeValue(forKey: scope).map { ($0.ids, $0.isLate, $0.incarnation) }
    }

    /// - Parameters:
    ///   - isLast: whether the database is not asked again.
    ///   - random: uniform in 0..<1.
    mutating func failed(_ scope: Int, isLast: Bool, random: Double, now: Duration) {
        guard var entry = entries[scope] else { return }
        if entry.isLate || isLast {
            entries[scope] = nil
            return
        }
        entry.askAt = now + entry.backoff.nextDelay(random: random)
        entries[scope] = entry
    }

    var nextDeadline: Duration? { entries.isEmpty ? nil : entries.values.compactMap(\.askAt).min() }
}
