import Tidemark

/// What can happen in a step.
enum SimulationAction: Int, CaseIterable, Sendable {
    // Messages arrive.
    case serveRequest, deliverAnswer, deliverAnnouncement
    // Writers.
    case start, fetch, commit, commitLate, persistGroup, giveUp, expire, announce, beat, reconcile
    // Readers.
    case read, checkpoint
    // Everybody, about others.
    case observe, close, retire
    // Faults.
    case loseConnection, loseAnnouncement, repeatAnnouncement, wasteID, lie, speakFromElsewhere
    case crash, stop, resume, leave, crashDatabase, backUp, restore
    // Last: they are left out where nobody asks for them, and the others are drawn as if they were not there.
    case copy, promote

    /// What a seed has more of, less of, or nothing of.
    enum Group: CaseIterable {
        case always, writing, groups, givingUp, news, replication, lostMessages, gaps, lies, otherDatabases,
            churn, stops, closing, databaseCrashes, restores, promotions

        var factors: [Int] {
            switch self {
            case .always, .writing: [2]
            case .replication: [1, 2, 4, 8]
            case .news: [0, 1, 4]
            case .churn: [0, 1, 4]
            case .groups, .givingUp, .gaps: [0, 1, 4]
            case .lostMessages, .stops, .closing, .lies, .otherDatabases: [0, 2, 8]
            case .databaseCrashes: [0, 2, 6, 12]
            case .restores: [0, 0, 0, 2, 6]
            case .promotions: [2, 6, 12]
            }
        }
    }

    var group: Group {
        switch self {
        case .serveRequest, .deliverAnswer, .read, .checkpoint, .start, .resume: .always
        case .fetch, .commit: .writing
        case .persistGroup: .groups
        case .giveUp, .expire, .commitLate: .givingUp
        case .beat, .reconcile: .news
        case .announce, .deliverAnnouncement: .replication
        case .loseConnection, .loseAnnouncement, .repeatAnnouncement: .lostMessages
        case .wasteID: .gaps
        case .lie: .lies
        case .speakFromElsewhere: .otherDatabases
        case .crash, .leave: .churn
        case .stop: .stops
        case .observe, .close, .retire: .closing
        case .crashDatabase: .databaseCrashes
        case .backUp, .restore: .restores
        case .copy, .promote: .promotions
        }
    }

    /// How likely it is, before the seed has its say.
    var weight: Int {
        switch self {
        case .serveRequest, .deliverAnswer: 160
        case .deliverAnnouncement: 140
        case .start: 60
        case .fetch: 70
        case .commit: 120
        case .persistGroup: 30
        case .giveUp: 14
        case .expire: 50
        case .commitLate: 60
        case .announce: 60
        case .beat, .reconcile: 24
        case .read: 160
        case .checkpoint: 8
        case .observe: 12
        case .close: 12
        case .retire: 3
        case .loseConnection: 12
        case .loseAnnouncement, .repeatAnnouncement: 14
        case .wasteID, .lie, .speakFromElsewhere: 6
        case .crash, .stop: 3
        case .leave: 5
        case .resume: 20
        case .crashDatabase, .backUp, .restore, .promote: 2
        case .copy: 3
        }
    }
}

/// How likely each action is in one simulation.
///
/// Each seed draws its own weights, and leaves some actions out (swarm testing: Groce and others, "Swarm Testing",
/// ISSTA 2012): what is common in one history hides what another needs.
struct SimulationChoices: Sendable {
    /// The actions, each as often as it weighs, in a table of cumulative weights.
    private var limits: [Int] = []
    private let total: Int

    init(random: inout SplitMix64, promotes: Bool) {
        var factors: [SimulationAction.Group: Int] = [:]
        for group in SimulationAction.Group.allCases where group != .promotions || promotes {
            factors[group] = group.factors[random.below(group.factors.count)]
        }
        var total = 0
        for action in SimulationAction.allCases where action.group != .promotions || promotes {
            let factor = factors[action.group] ?? 1
            total += action.weight * factor * [1, 2, 4][random.below(3)]
            limits.append(total)
        }
        self.total = total
    }

    func next(_ random: inout SplitMix64) -> SimulationAction {
        let drawn = random.below(total)
        var low = 0
        var high = limits.count - 1
        while low < high {
            let middle = (low + high) / 2
            if limits[middle] > drawn { high = middle } else { low = middle + 1 }
        }
        return SimulationAction(rawValue: low) ?? .serveRequest
    }
}

extension SplitMix64 {
    /// Uniform in 0..<bound, but for a bias of at most bound / 2^64.
    mutating func below(_ bound: Int) -> Int {
        precondition(bound > 0, "there is nothing to choose from")
        return Int(next().multipliedFullWidth(by: UInt64(bound)).high)
    }

    mutating func chance(_ percent: Int) -> Bool { below(100) < percent }
}
