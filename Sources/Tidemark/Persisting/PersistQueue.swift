import DequeModule

/// What concurrent callers have handed in and nobody has committed yet: bounded, in order of arrival.
///
/// A state machine without I/O: it says who goes into the next group, and who has to wait for room.
struct PersistQueue {
    struct Limits: Sendable {
        /// Events and bytes of payload that may wait; callers wait for room beyond that. A single call that is larger
        /// than all the room gets it once nothing else waits.
        var waitingEvents: Int
        var waitingBytes: Int
        /// Events and bytes of payload in one transaction. A single call is never split.
        var groupEvents: Int
        var groupBytes: Int
    }

    struct Request {
        let number: Int
        let events: [Event]
        let bytes: Int
        let result: Waiter<Result<[PersistOutcome], any Error>>
    }

    let limits: Limits
    private(set) var waiting: Deque<Request> = []
    private(set) var events = 0
    private(set) var bytes = 0
    /// Whether somebody takes groups out; whoever adds the first request sees to it that somebody does.
    private(set) var isDraining = false
    private var forRoom: Deque<(number: Int, room: Waiter<Bool>)> = []
    private var lastNumber = 0

    init(limits: Limits) {
        self.limits = limits
    }

    mutating func makeNumber() -> Int {
        lastNumber += 1
        return lastNumber
    }

    enum Admission {
        /// The request is in; the caller starts draining.
        case admittedFirst
        case admitted
        /// There is no room: the waiter is resolved with true when there is.
        case full(Waiter<Bool>)
    }

    /// Callers that wait for room keep their turn: nobody overtakes them but those whose turn it is.
    mutating func add(_ request: Request, hasWaited: Bool) -> Admission {
        let fits =
            waiting.isEmpty
            || (events + request.events.count <= limits.waitingEvents && bytes + request.bytes <= limits.waitingBytes)
        guard fits, hasWaited || forRoom.isEmpty else {
            let room = Waiter<Bool>()
            if hasWaited { forRoom.prepend((request.number, room)) } else { forRoom.append((request.number, room)) }
            return .full(room)
        }
        waiting.append(request)
        events += request.events.count
        bytes += request.bytes
        if isDraining { return .admitted }
        isDraining = true
        return .admittedFirst
    }

    /// Whether nobody takes groups out and nobody waits: then the caller may commit alone, and others wait meanwhile.
    /// It ends that with ``endAlone()``.
    mutating func beginAlone() -> Bool {
        guard !isDraining, waiting.isEmpty, forRoom.isEmpty else { return false }
        isDraining = true
        return true
    }

    /// Whether somebody has come meanwhile: then the caller starts draining.
    mutating func endAlone() -> Bool {
        isDraining = !waiting.isEmpty || !forRoom.isEmpty
        return isDraining
    }

    /// Takes a request back that is not in a group yet.
    mutating func withdraw(_ number: Int) -> Bool {
        forRoom.removeAll { $0.number == number }
        guard let index = waiting.firstIndex(where: { $0.number == number }) else { return false }
        removed(waiting.remove(at: index))
        return true
    }

    /// The next group, and who may come in instead; without a group, draining is over.
    mutating func nextGroup() -> (group: [Request], mayEnter: Waiter<Bool>?) {
        var group: [Request] = []
        var groupEvents = 0
        var groupBytes = 0
        while let request = waiting.first {
            let fits =
                groupEvents + request.events.count <= limits.groupEvents
                && groupBytes + request.bytes <= limits.groupBytes
            guard group.isEmpty || fits else { break }
            groupEvents += request.events.count
            groupBytes += request.bytes
            removed(waiting.removeFirst())
            group.append(request)
        }
        isDraining = !group.isEmpty
        return (group, nextToEnter())
    }

    /// Who has waited longest for room; each that enters lets the next one try.
    mutating func nextToEnter() -> Waiter<Bool>? {
        forRoom.popFirst()?.room
    }

    /// Everybody who waits for room, when nothing more will be taken.
    mutating func turnAway() -> [Waiter<Bool>] {
        defer { forRoom = [] }
        return forRoom.map(\.room)
    }

    private mutating func removed(_ request: Request) {
        events -= request.events.count
        bytes -= request.bytes
    }
}
