import Tidemark

/// The links of a ``LossyTransport``, without its lock and its clock: what is under way to whom, until when.
struct LossyLinks: Sendable {
    typealias Receive = @Sendable (ReplicationEvent) -> Void

    /// What is to be done next.
    enum Next: Sendable {
        case deliver(ReplicationCommand, Receive)
        /// Nobody has been asked yet to come back for what is due then.
        case wakeUp(at: Duration)
        case nothing
    }

    private struct Participant: Sendable {
        let name: InstanceName
        let receive: Receive
        /// How many commands are under way to it.
        var waiting = 0
    }

    private struct Command: Sendable {
        let command: ReplicationCommand
        let link: Link
        /// To which connection.
        let to: Int
        /// The how many-th of its link.
        let number: Int
        let due: Duration
        /// In which order commands were sent, over all links.
        let order: Int
    }

    /// By names: a connection that is made anew goes on where the last one of its name ended.
    private struct Link: Hashable, Sendable {
        let from: InstanceName
        let to: InstanceName
    }

    private struct LinkState: Sendable {
        var random: SplitMix64
        var lastNumber = 0
        var highestDelivered = 0
    }

    private let seed: UInt64
    var faults: LossyTransport.Faults
    private(set) var counts = LossyTransport.Counts()
    private var participants: [Int: Participant] = [:]
    private var links: [Link: LinkState] = [:]
    private var underWay: [Command] = []
    private var lastConnection = 0
    private var lastOrder = 0
    private(set) var isDelivering = false
    /// Who is just being called.
    private var receiving: Int?
    private var wakesUpAt: Duration?

    init(seed: UInt64, faults: LossyTransport.Faults) {
        self.seed = seed
        self.faults = faults
    }

    // MARK: Connections

    mutating func connect(_ name: InstanceName, receive: @escaping Receive) -> Int {
        lastConnection += 1
        participants[lastConnection] = Participant(name: name, receive: receive)
        return lastConnection
    }

    /// True when something is just being delivered to the connection: then it has to be asked again.
    mutating func disconnect(_ number: Int) -> Bool {
        participants[number] = nil
        underWay.removeAll { $0.to == number }
        return receiving == number
    }

    // MARK: Commands

    mutating func send(_ commands: [ReplicationCommand], from number: Int, now: Duration) {
        guard let sender = participants[number]?.name else { return }
        // The same order of receivers each time, whatever that of a dictionary is.
        for to in participants.keys.sorted() where to != number {
            for command in commands { send(command, from: sender, to: to, now: now) }
        }
    }

    private mutating func send(_ command: ReplicationCommand, from sender: InstanceName, to: Int, now: Duration) {
        guard let receiver = participants[to]?.name else { return }
        let link = Link(from: sender, to: receiver)
        var state = links[link] ?? LinkState(random: SplitMix64(seed: seed, link: "\(sender) \(receiver)"))
        state.lastNumber += 1
        // Drawn in any case, so that the next command's fate does not depend on this one's.
        let isLost = state.random.chance(faults.lossPercent)
        let isRepeated = state.random.chance(faults.repetitionPercent)
        let delays = (0..<2).map { _ in delay(&state.random) }
        links[link] = state
        counts.sent += 1
        guard !isLost, let waiting = participants[to]?.waiting, waiting < faults.queueLimit else {
            counts.lost += 1
            return
        }
        let copies = isRepeated && waiting + 2 <= faults.queueLimit ? 2 : 1
        if copies == 2 { counts.repeated += 1 }
        for delay in delays.prefix(copies) {
            lastOrder += 1
            underWay.append(
                Command(
                    command: command, link: link, to: to, number: state.lastNumber, due: now + delay,
                    order: lastOrder))
        }
        participants[to]?.waiting += copies
    }

    private func delay(_ random: inout SplitMix64) -> Duration {
        let span = faults.delay.upperBound - faults.delay.lowerBound
        return faults.delay.lowerBound + span * random.below(1001) / 1000
    }

    // MARK: Delivering

    /// False when somebody delivers already, who will come to what was sent since, too.
    mutating func beginDelivering() -> Bool {
        if isDelivering { return false }
        isDelivering = true
        return true
    }

    /// What is due first. Whoever began to deliver delivers it and asks again; with any other answer it has ended.
    mutating func next(now: Duration) -> Next {
        receiving = nil
        let first = underWay.indices.min { left, right in
            (underWay[left].due, underWay[left].order) < (underWay[right].due, underWay[right].order)
        }
        guard let first, underWay[first].due <= now else {
            isDelivering = false
            guard let due = first.map({ underWay[$0].due }) else { return .nothing }
            if let wakesUpAt, wakesUpAt <= due { return .nothing }
            wakesUpAt = due
            return .wakeUp(at: due)
        }
        return delivery(of: underWay.remove(at: first))
    }

    private mutating func delivery(of command: Command) -> Next {
        guard let receive = participants[command.to]?.receive else {
            preconditionFailure("commands to a connection go with it")
        }
        participants[command.to]?.waiting -= 1
        receiving = command.to
        counts.delivered += 1
        let highest = links[command.link]?.highestDelivered ?? 0
        if command.number < highest { counts.overtaken += 1 }
        links[command.link]?.highestDelivered = max(highest, command.number)
        return .deliver(command.command, receive)
    }

    /// Whoever was asked to come back at this time has.
    mutating func wokeUp(at deadline: Duration) {
        if wakesUpAt == deadline { wakesUpAt = nil }
    }
}

extension SplitMix64 {
    /// The numbers of one link: the same for the same names in every process, which Swift's own hashes are not (FNV-1a,
    /// Fowler, Noll, Vo 1991).
    fileprivate init(seed: UInt64, link: String) {
        let hash = link.utf8.reduce(0xCBF2_9CE4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
        self.init(seed: seed ^ Self.mixed(hash))
    }
}
