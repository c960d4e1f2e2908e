import ArgumentParser

/// What a run measures, in its order.
enum Scenario: String, CaseIterable, ExpressibleByArgument {
    case lag
    case lost
    case several
    case persist
    case processes
    case read
    case bookkeeping

    var explanation: String {
        switch self {
        case .lag: "lag, in each mode"
        case .lost: "lag, a writer is lost"
        case .several: "several writers"
        case .persist: "persisting, beside plain C"
        case .processes: "four writers without a pause"
        case .read: "reading, beside plain C"
        case .bookkeeping: "bookkeeping of IDs"
        }
    }

    func run(_ options: BenchOptions, into report: inout Report) async throws {
        switch self {
        case .lag:
            for mode in Mode.allCases { try await LagScenario(mode: mode, options: options).run(into: &report) }
        case .lost: try await LostScenario(options: options).run(into: &report)
        case .several: try await SeveralScenario(options: options).run(into: &report)
        case .persist: try await PersistScenario(options: options).run(into: &report)
        case .processes: try await ProcessesScenario(options: options).run(into: &report)
        case .read: try await ReadScenario(options: options).run(into: &report)
        case .bookkeeping: try await BookkeepingScenario(options: options).run(into: &report)
        }
    }
}
