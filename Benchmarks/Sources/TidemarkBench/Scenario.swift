import ArgumentParser

/// What a run measures, in its order.
enum Scenario: String, CaseIterable, ExpressibleByArgument {
    case lag
    case lost
    case redis
    case several
    case persist
    case processes
    case read
    case bookkeeping
    case announce
    case dead
    case parse
    case fanout

    var explanation: String {
        switch self {
        case .lag: "lag, in each mode"
        case .lost: "lag, a writer is lost"
        case .redis: "lag over Redis, and Redis is restarted"
        case .several: "several writers"
        case .persist: "persisting, beside plain C"
        case .processes: "four writers without a pause"
        case .read: "reading, beside plain C"
        case .bookkeeping: "bookkeeping of IDs"
        case .announce: "one busy and many idle writers"
        case .dead: "writers that are killed or stopped"
        case .parse: "parsing and printing of commands"
        case .fanout: "one server of replication and 32 clients"
        }
    }

    func run(_ options: BenchOptions, into report: inout Report) async throws {
        switch self {
        case .lag:
            for mode in Mode.allCases where mode != .redis {
                try await LagScenario(mode: mode, options: options).run(into: &report)
            }
        case .lost: try await LostScenario(options: options).run(into: &report)
        case .redis: try await RedisScenario(options: options).run(into: &report)
        case .several: try await SeveralScenario(options: options).run(into: &report)
        case .persist: try await PersistScenario(options: options).run(into: &report)
        case .processes: try await ProcessesScenario(options: options).run(into: &report)
        case .read: try await ReadScenario(options: options).run(into: &report)
        case .bookkeeping: try await BookkeepingScenario(options: options).run(into: &report)
        case .announce: try await AnnounceScenario(options: options).run(into: &report)
        case .dead: try await DeadScenario(options: options).run(into: &report)
        case .parse: try ParseScenario(options: options).run(into: &report)
        case .fanout: try await FanoutScenario(options: options).run(into: &report)
        }
    }
}
