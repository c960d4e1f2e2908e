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
    case serverLag = "pg-lag"
    case serverRate = "pg-rate"
    case serverRead = "pg-read"

    /// Whether it is measured on PostgreSQL, and not on a file.
    var needsServer: Bool { [.serverLag, .serverRate, .serverRead].contains(self) }

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
        case .serverLag: "lag on PostgreSQL, over LISTEN and NOTIFY and over Redis, beside plain C"
        case .serverRate: "four writers on PostgreSQL without a pause, beside plain C"
        case .serverRead: "reading from PostgreSQL, beside plain C"
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
        case .serverLag, .serverRate, .serverRead:
            guard let server = options.server else { throw Failure("\(rawValue) needs --database postgres") }
            try await run(options, on: server, into: &report)
        }
    }

    private func run(_ options: BenchOptions, on server: BenchServer, into report: inout Report) async throws {
        switch self {
        case .serverLag: try await ServerLagScenario(server: server, options: options).run(into: &report)
        case .serverRate: try await ServerRateScenario(server: server, options: options).run(into: &report)
        default: try await ServerReadScenario(server: server, options: options).run(into: &report)
        }
    }
}
