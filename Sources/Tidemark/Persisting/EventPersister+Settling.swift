import Logging
import Synchronization

/// A group whose commit was not answered. Its fetch goes on, so that this writer promises nothing above it.
struct UnsettledGroup: Sendable {
    let group: EventGroup
    let fetch: Int
}

/// The group was not committed, and never will be, or not with all of its calls, of which some may have been refused: it may be
/// tried again, which writes no event twice.
struct NeverCommitted: Error {}

/// What becomes of groups whose outcome is unknown (rule 5): the database is asked, with growing delays, until it answers or
/// the log has ended. No other group begins meanwhile.
extension EventPersister {
    /// How long an outcome is waited for, from when it became unknown. The database is asked on after that, and a caller that
    /// comes then does not wait: the limit is for each caller, and not for each group before it.
    static let settleLimit = Duration.seconds(30)

    /// Asks for what became of the group, in the background.
    func settleLater(_ unsettled: UnsettledGroup, _ problem: String) {
        logger.warning(
            "the outcome of a group is unknown; asking the database for it",
            metadata: ["events": "\(unsettled.group.events.count)", "error": "\(problem)"])
        let settling = Settling(unsettled, deadline: time.now + Self.settleLimit)
        let task = Task { await self.settle(settling) }
        let isCutShort = state.withLock { state in
            state.settling = (settling, task)
            return state.isCutShort
        }
        if isCutShort { task.cancel() }
    }

    /// Waits until no outcome is unknown any more.
    ///
    /// - Throws: ``TidemarkError/storeUnavailable(store:problem:)`` when that takes too long.
    func settled() async throws {
        guard let (settling, _) = state.withLock({ $0.settling }) else { return }
        guard await settling.outcome(on: time) != nil else {
            throw TidemarkError.storeUnavailable(
                store: "\(store)", problem: "it has not said what became of the group before this one")
        }
    }

    /// - Throws: ``NeverCommitted``, and ``TidemarkError/outcomeUnknown(stream:events:problem:)`` when that takes too long.
    func outcome(of group: EventGroup, _ problem: String) async throws -> PersistedGroup {
        let settling = state.withLock { $0.settling?.settling }
        switch await settling?.outcome(on: time) {
        case .committed(let persisted): return persisted
        case .neverCommitted: throw NeverCommitted()
        case .failed(let error): throw error
        case nil:
            throw TidemarkError.outcomeUnknown(stream: stream, events: group.events.map(\.id), problem: problem)
        }
    }

    private func settle(_ settling: Settling) async {
        var backoff = Backoff(shortest: .milliseconds(50), longest: .seconds(5))
        let (group, fetch) = (settling.unsettled.group, settling.unsettled.fetch)
        while !Task.isCancelled {
            do {
                let answer = try await store.settle([group])
                generator.change { machine, _ in machine.fenced(group.writer, at: answer.fence) }
                guard let persisted = answer.groups.first ?? nil else {
                    generator.change { $0.abortFetch(fetch, now: $1) }
                    return end(settling, .neverCommitted)
                }
                try endFetch(fetch, group, persisted)
                return end(settling, .committed(persisted))
            } catch TidemarkError.pruned(let stream, let after, let through) {
                // Whether it was committed nobody knows any more; it never will be.
                generator.change { $0.abortFetch(fetch, now: $1) }
                return end(settling, .failed(.pruned(stream: stream, after: after, through: through)))
            } catch let error as TidemarkError where error.isFinal {
                generator.fail(error)
                return end(settling, .failed(error))
            } catch {
                logger.debug("the outcome of a group is still unknown", metadata: ["error": "\(error)"])
                let delay = backoff.nextDelay(random: .random(in: 0..<1))
                try? await time.sleep(for: delay)
            }
        }
        // The fetch stays open: this writer promises nothing above it until its epoch has ended.
        end(
            settling,
            .failed(
                .outcomeUnknown(
                    stream: stream, events: group.events.map(\.id), problem: "the log ended before the database said so"
                )))
    }

    private func end(_ settling: Settling, _ outcome: Settling.Outcome) {
        state.withLock { $0.settling = nil }
        settling.resolve(outcome)
    }
}

/// Finds out what became of one group.
final class Settling: Sendable {
    enum Outcome: Sendable {
        case committed(PersistedGroup)
        case neverCommitted
        case failed(TidemarkError)
    }

    let unsettled: UnsettledGroup
    /// How long callers wait.
    private let deadline: Duration
    private let state = Mutex<(outcome: Outcome?, waiters: [Waiter<Outcome?>])>((nil, []))

    init(_ unsettled: UnsettledGroup, deadline: Duration) {
        self.unsettled = unsettled
        self.deadline = deadline
    }

    /// Nil at the deadline, and where the task is cancelled.
    func outcome(on time: TimeSource) async -> Outcome? {
        let waiter = Waiter<Outcome?>()
        let known = state.withLock { state in
            if state.outcome == nil { state.waiters.append(waiter) }
            return state.outcome
        }
        if let known { return known }
        return await waiter.value(until: deadline, on: time, late: nil, cancelled: nil)
    }

    func resolve(_ outcome: Outcome) {
        let waiters = state.withLock { state in
            state.outcome = outcome
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resolve(outcome) }
    }
}
