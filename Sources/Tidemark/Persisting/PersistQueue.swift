import DequeModule

/// How much may wait in a ``PersistQueue``, and how much goes into one transaction.
struct PersistQueueLimits: Hashable, Sendable {
    /// Events and bytes of payload that may wait; callers wait for room beyond that. A single call that is larger than
    /// all the room gets it once nothing else waits.
    var waitingEvents: Int
    var waitingBytes: Int
    /// Events and bytes of payload in one transaction. A single call is never split.
    var groupEvents: Int
    var groupBytes: Int
}

/// Calls that were handed in and are not committed yet: bounded, in order of arrival.
///
/// A state machine without I/O: it says which calls go into the next group, and which have to wait for room. Adding or
/// withdrawing a call and letting others in is one step, so that no room is lost with a caller that has gone.
///
/// Invariants: a call waits outside only while there is no room for it, so that other calls have entered then; while calls
/// have entered, a task takes groups out. No call overtakes another.
struct PersistQueue<Caller> {
    struct Request {
        let number: Int
        let events: Int
        let bytes: Int
        let caller: Caller
    }

    let limits: PersistQueueLimits
    private var entered: Deque<Request> = []
    private var outside: Deque<Request> = []
    /// How many events and bytes the calls have that have entered.
    private(set) var events = 0
    private(set) var bytes = 0
    /// Whether a task takes groups out; the caller that adds the first call starts one.
    private(set) var isDraining = false
    private var lastNumber = 0

    init(limits: PersistQueueLimits) {
        self.limits = limits
    }

    /// How many calls have entered and are in no group yet.
    var enteredCount: Int { entered.count }
    /// How many calls wait for room.
    var outsideCount: Int { outside.count }

    /// The call waits from now on. Where `begins` is true its caller starts to take groups out.
    mutating func add(events: Int, bytes: Int, caller: Caller) -> (number: Int, begins: Bool) {
        lastNumber += 1
        outside.append(Request(number: lastNumber, events: events, bytes: bytes, caller: caller))
        letIn()
        let begins = !isDraining
        isDraining = true
        return (lastNumber, begins)
    }

    /// Takes a call back, because its caller is gone. False where it is in a group already.
    mutating func withdraw(_ number: Int) -> Bool {
        if let index = Self.index(of: number, in: outside) {
            outside.remove(at: index)
        } else if let index = Self.index(of: number, in: entered) {
            removed(entered.remove(at: index))
        } else {
            return false
        }
        letIn()
        return true
    }

    /// The next group; empty where no call waits, and then the caller stops taking groups out.
    mutating func nextGroup() -> [Request] {
        var group: [Request] = []
        var groupEvents = 0
        var groupBytes = 0
        while let request = entered.first {
            let fits =
                groupEvents + request.events <= limits.groupEvents && groupBytes + request.bytes <= limits.groupBytes
            guard group.isEmpty || fits else { break }
            groupEvents += request.events
            groupBytes += request.bytes
            removed(entered.removeFirst())
            group.append(request)
        }
        letIn()
        isDraining = !group.isEmpty
        return group
    }

    /// Calls of the last group, which was not committed, wait again, before all others.
    mutating func putBack(_ requests: some BidirectionalCollection<Request>) {
        precondition(isDraining, "whoever has a group takes the next one too")
        for request in requests.reversed() {
            entered.prepend(request)
            events += request.events
            bytes += request.bytes
        }
    }

    /// Whether the caller may commit alone, because no group is under way and no call waits. Others wait until ``endAlone()``.
    mutating func beginAlone() -> Bool {
        if isDraining { return false }
        isDraining = true
        return true
    }

    /// Whether calls have come meanwhile: then the caller starts to take groups out.
    mutating func endAlone() -> Bool {
        isDraining = !entered.isEmpty
        return isDraining
    }

    /// Removes the calls that wait for room, when no more are let in, and returns them.
    mutating func turnAway() -> [Request] {
        defer { outside = [] }
        return Array(outside)
    }

    /// Removes all calls that are in no group yet, when there will be no other group, and returns them.
    mutating func turnAllAway() -> [Request] {
        defer {
            entered = []
            events = 0
            bytes = 0
        }
        return Array(entered) + turnAway()
    }

    private mutating func letIn() {
        while let first = outside.first, hasRoom(for: first) {
            events += first.events
            bytes += first.bytes
            entered.append(outside.removeFirst())
        }
    }

    private func hasRoom(for request: Request) -> Bool {
        entered.isEmpty
            || (events + request.events <= limits.waitingEvents && bytes + request.bytes <= limits.waitingBytes)
    }

    private mutating func removed(_ request: Request) {
        events -= request.events
        bytes -= request.bytes
    }

    /// Numbers ascend, so that a binary search finds one, also where many calls leave at once.
    private static func index(of number: Int, in requests: Deque<Request>) -> Int? {
        var low = 0
        var high = requests.count
        while low < high {
            let middle = low + (high - low) / 2
            if requests[middle].number < number { low = middle + 1 } else { high = middle }
        }
        return low < requests.count && requests[low].number == number ? low : nil
    }
}

extension PersistQueue: Sendable where Caller: Sendable {}
extension PersistQueue.Request: Sendable where Caller: Sendable {}
extension PersistQueue: Equatable where Caller: Equatable {}
extension PersistQueue.Request: Equatable where Caller: Equatable {}
extension PersistQueue: Hashable where Caller: Hashable {}
extension PersistQueue.Request: Hashable where Caller: Hashable {}
