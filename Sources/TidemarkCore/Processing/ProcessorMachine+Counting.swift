import DequeModule

/// After an unclean end the starts of events are counted in the database.
extension ProcessorMachine {
    /// Events that may start once they are counted durably: after an unclean end, so that one that ends its process again and
    /// again is parked too.
    public mutating func takeCounts(now: Duration) -> [Count] {
        guard hasUncounted, mayStart(now) else { return [] }
        if let count = takeSuspect() { return [count] }
        guard suspects.isEmpty, !isCountingSuspect, countedSuspect == nil else { return [] }
        // Where the first attempt is the last one, nothing is counted together with what may end the process.
        let most = configuration.maximumAttempts == 1 ? 1 : configuration.concurrency
        var counts: [Count] = []
        for index in inOrder {
            guard !partitions.values[index].isCounting, !partitions.values[index].isReleasing,
                !partitions.values[index].uncounted.isEmpty
            else { continue }
            let ids = Array(partitions.values[index].uncounted.prefix(most))
            partitions.values[index].uncounted.removeFirst(ids.count)
            uncountedCount -= ids.count
            partitions.values[index].isCounting = true
            counts.append(Count(partition: partitions.keys[index], claim: partitions.values[index].claim, ids: ids))
        }
        return counts
    }

    private mutating func takeSuspect() -> Count? {
        guard !isCountingSuspect, countedSuspect == nil, suspectRun == nil, runs.count == overdueCount else {
            return nil
        }
        while let next = suspects.popFirst() {
            guard isOwned(next), let index = partitions.index(forKey: next.partition) else { continue }
            let started = partitions.values[index].counted[next.item.id] ?? 0
            guard started < configuration.maximumAttempts else {
                exhausted(
                    next.item, index, next.partition, attempts: started,
                    problem: "its process ended while it was handled, or its handler failed")
                continue
            }
            isCountingSuspect = true
            return Count(partition: next.partition, claim: next.claim, ids: [next.item.id])
        }
        return nil
    }

    /// - Parameter counts: how often each was started by now, this time included; nil where the database could not be asked.
    public mutating func counted(_ count: Count, _ counts: [StreamID: Int]?) {
        let isSuspect = isCountingSuspect
        isCountingSuspect = false
        guard let index = partitions.index(forKey: count.partition), partitions.values[index].claim == count.claim
        else {
            return
        }
        partitions.values[index].isCounting = false
        guard let counts else {
            for id in count.ids.reversed() {
                if isSuspect {
                    suspects.prepend(
                        Ready(
                            partition: count.partition, claim: count.claim, item: Item(id: id, isLate: false)))
                } else {
                    partitions.values[index].uncounted.prepend(id)
                    uncountedCount += 1
                }
            }
            return
        }
        for id in count.ids {
            let item = Item(id: id, isLate: false)
            let started = counts[id] ?? 1
            partitions.values[index].counted[id] = started
            partitions.values[index].window.setAttempts(started - 1, of: item)
            let next = Ready(partition: count.partition, claim: count.claim, item: item)
            if isSuspect { countedSuspect = next } else { ready.append(next) }
        }
    }

    /// Whether there may be something to count.
    public var hasUncounted: Bool { uncountedCount > 0 || !suspects.isEmpty }
}
