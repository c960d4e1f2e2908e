import Testing

@testable import Tidemark

/// The queue of the persister alone: everything that three callers, whoever commits, and cancellations can do to it.
@Suite struct PersistQueueTests {
    private static let limits = [1, 2].flatMap { waiting in
        [1, 2].map { group in
            PersistQueueLimits(waitingEvents: waiting, waitingBytes: 100, groupEvents: group, groupBytes: 100)
        }
    }

    @Test(arguments: limits, [[1, 1, 1], [1, 2, 1], [3, 1, 2]])
    func `whatever three callers do, everybody who stays is answered, in order, and the queue stays within its bounds`(
        limits: PersistQueueLimits, sizes: [Int]
    ) {
        var search = QueueSearch(World(limits: limits, sizes: sizes, calls: 2))
        search.run()
        #expect(search.problems == [])
        #expect(search.seen.count > 1000)
    }

    @Test func `callers that leave while they wait for room let those behind them in`() {
        var queue = PersistQueue<Int>(
            limits: PersistQueueLimits(waitingEvents: 2, waitingBytes: 100, groupEvents: 10, groupBytes: 100))
        let isAlone = queue.beginAlone()
        let numbers = (0..<8).map { queue.add(events: 1, bytes: 1, caller: $0).number }
        #expect(isAlone && queue.enteredCount == 2 && queue.outsideCount == 6)
        let left = (numbers[0..<6] + [numbers[0]]).map { queue.withdraw($0) }
        #expect(left == [true, true, true, true, true, true, false], "the last one is gone already")
        #expect(queue.enteredCount == 2 && queue.outsideCount == 0)
        let goesOn = queue.endAlone()
        let group = queue.nextGroup().map(\.caller)
        #expect(goesOn && group == [6, 7])
    }

    @Test func `a call that is larger than all the room enters when nothing else waits`() {
        var queue = PersistQueue<Int>(
            limits: PersistQueueLimits(waitingEvents: 2, waitingBytes: 10, groupEvents: 2, groupBytes: 10))
        for (caller, bytes) in [1, 50, 1].enumerated() { _ = queue.add(events: 1, bytes: bytes, caller: caller) }
        #expect(queue.outsideCount == 2, "nobody overtakes")
        let groups = (0..<4).map { _ in queue.nextGroup().map(\.caller) }
        #expect(groups == [[0], [1], [2], []])
        #expect(!queue.isDraining && queue.events == 0 && queue.bytes == 0)
    }
}

/// Callers, the queue, and whoever commits: what is behind the persister's lock, and what it does one step at a time.
private struct World: Hashable {
    enum Caller: Hashable {
        case idle
        /// In the queue, under this number.
        case waiting(Int)
        case inGroup(Int)
        /// It commits on its own thread.
        case alone
    }

    enum Committer: Hashable {
        case none
        case alone(Int)
        case draining
        /// A group is with the store: callers that were cancelled are in it still.
        case committing([Int])
    }

    enum Action: Hashable {
        case call(Int, triesAlone: Bool)
        case cancel(Int)
        case commit
        /// So many calls of a group are over; the others wait again.
        case putBack(over: Int)
        case stop
        case cutShort
    }

    var queue: PersistQueue<Int>
    let sizes: [Int]
    var callers: [Caller]
    var callsLeft: [Int]
    /// Those that wait, in the order in which they came.
    var order: [Int] = []
    var committer = Committer.none
    var isStopped = false
    var wasPutBack = false

    init(limits: PersistQueueLimits, sizes: [Int], calls: Int) {
        queue = PersistQueue(limits: limits)
        self.sizes = sizes
        callers = sizes.map { _ in .idle }
        callsLeft = sizes.map { _ in calls }
    }

    var actions: [Action] {
        var actions: [Action] = []
        for caller in callers.indices {
            switch callers[caller] {
            case .idle:
                if !isStopped, callsLeft[caller] > 0 {
                    actions += [.call(caller, triesAlone: true), .call(caller, triesAlone: false)]
                }
            case .waiting, .inGroup: actions.append(.cancel(caller))
            case .alone: break
            }
        }
        if committer != .none { actions.append(.commit) }
        if case .committing(let group) = committer, group.count > 1 {
            actions += (1..<group.count).map { .putBack(over: $0) }
        }
        actions.append(isStopped ? .cutShort : .stop)
        return actions
    }

    /// Returns what is wrong then.
    mutating func take(_ action: Action) -> String? {
        switch action {
        case .call(let caller, let triesAlone):
            callsLeft[caller] -= 1
            if triesAlone, queue.beginAlone() {
                guard committer == .none else { return "two commit at once" }
                callers[caller] = .alone
                committer = .alone(caller)
                break
            }
            let (number, begins) = queue.add(events: sizes[caller], bytes: 1, caller: caller)
            callers[caller] = .waiting(number)
            order.append(caller)
            if begins {
                guard committer == .none else { return "two commit at once" }
                committer = .draining
            }
        case .cancel(let caller):
            switch callers[caller] {
            case .waiting(let number):
                if !queue.withdraw(number) { return "a caller that waits is not found" }
                order.removeAll { $0 == caller }
            case .inGroup(let number):
                if queue.withdraw(number) { return "a call is in a group and waits" }
            case .idle, .alone: break
            }
            callers[caller] = .idle
        case .commit:
            return commit()
        case .putBack(let over):
            guard case .committing(let group) = committer else { return "no group" }
            let rest = group[over...].filter { caller in
                if case .inGroup = callers[caller] { true } else { false }
            }
            var requests: [PersistQueue<Int>.Request] = []
            for caller in rest {
                guard case .inGroup(let number) = callers[caller] else { continue }
                requests.append(.init(number: number, events: sizes[caller], bytes: 1, caller: caller))
                callers[caller] = .waiting(number)
            }
            queue.putBack(requests)
            order = rest + order
            for caller in group[..<over] where isInGroup(caller) { callers[caller] = .idle }
            wasPutBack = true
            committer = .draining
        case .stop:
            isStopped = true
            if let problem = answer(queue.turnAway().map(\.caller)) { return problem }
        case .cutShort:
            if let problem = answer(queue.turnAllAway().map(\.caller)) { return problem }
        }
        return problem
    }

    private mutating func commit() -> String? {
        switch committer {
        case .none: return "nobody commits"
        case .alone(let caller):
            callers[caller] = .idle
            committer = queue.endAlone() ? .draining : .none
        case .draining:
            let group = queue.nextGroup()
            guard !group.isEmpty else {
                committer = .none
                break
            }
            guard group.map(\.caller) == Array(order.prefix(group.count)) else { return "somebody was overtaken" }
            order.removeFirst(group.count)
            for request in group { callers[request.caller] = .inGroup(request.number) }
            committer = .committing(group.map(\.caller))
        case .committing(let group):
            for caller in group where isInGroup(caller) { callers[caller] = .idle }
            committer = .draining
        }
        return problem
    }

    private func isInGroup(_ caller: Int) -> Bool {
        if case .inGroup = callers[caller] { true } else { false }
    }

    private mutating func answer(_ away: [Int]) -> String? {
        for caller in away {
            guard case .waiting = callers[caller] else { return "somebody is turned away twice" }
            callers[caller] = .idle
            order.removeAll { $0 == caller }
        }
        return nil
    }

    /// What is wrong with this state alone.
    private var problem: String? {
        if queue.isDraining != (committer != .none) { return "nobody takes groups out, or two do" }
        if queue.enteredCount > 0, committer == .none { return "somebody has entered and nobody commits" }
        if queue.outsideCount > 0, queue.enteredCount == 0 { return "somebody waits for room that is there" }
        if queue.enteredCount + queue.outsideCount != order.count { return "the queue has lost somebody" }
        if !wasPutBack, queue.enteredCount > 1, queue.events > queue.limits.waitingEvents { return "too many wait" }
        let events = order.prefix(queue.enteredCount).reduce(0) { $0 + sizes[$1] }
        if events != queue.events || queue.bytes != queue.enteredCount { return "the sums are wrong" }
        return nil
    }

    /// What is wrong where nothing happens any more but that whoever commits goes on.
    var problemAtTheEnd: String? {
        var world = self
        for _ in 0..<30 where world.committer != .none {
            if let problem = world.take(.commit) { return problem }
        }
        return world.callers.allSatisfy { $0 == .idle } && world.committer == .none ? nil : "somebody waits for ever"
    }
}

/// All states that can be reached, each once.
private struct QueueSearch {
    var seen: Set<World>
    var problems: [String] = []
    private var open: [World]

    init(_ world: World) {
        seen = [world]
        open = [world]
    }

    mutating func run() {
        while let world = open.popLast(), problems.isEmpty {
            for action in world.actions {
                var next = world
                let problem = next.take(action)
                guard problem != nil || seen.insert(next).inserted else { continue }
                if let problem = problem ?? next.problemAtTheEnd {
                    problems.append("\(problem) after \(action) in \(world)")
                    return
                }
                open.append(next)
            }
        }
    }
}
