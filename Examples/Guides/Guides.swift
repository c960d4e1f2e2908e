import GRDB
import Logging
import Tidemark
import TidemarkSQLite
import TidemarkTesting

// What the articles of the documentation show and no other example has. It is compiled, and not run.

func explain(_ log: EventLog, _ logger: Logger) async throws {
    // explain: begin
    let explanation = try await log.explain()
    if let heldBackBy = explanation.heldBackBy {
        logger.warning("readers wait", metadata: ["at": "\(explanation.minimum)", "for": "\(heldBackBy)"])
    }
    // explain: end
}

func conforms(_ open: @escaping @Sendable () async throws -> any EventStore) async throws {
    for check in StoreConformance.checks { try await check.run(open) }
}

/// A handler for each event.
func mailer(_ log: EventLog, send: @escaping @Sendable (_ about: String, _ claim: Int) async throws -> Void)
    -> EventProcessor
{
    // mailer: begin
    let mailer = log.processor("mailer", filter: .types(["order.placed"])) { event in
        try await send(event.event.id, HandlingContext.current?.claim ?? 0)
    }
    // mailer: end
    return mailer
}

/// A handler in the transaction that passes its event.
func balances(_ log: EventLog) -> EventProcessor {
    // balances: begin
    let balances = log.processor(
        "balances", filter: .types(["deposited"]),
        handleInTransaction: { event, db in
            let deposit = try event.decoded(as: Deposit.self)
            try db.execute(
                sql: """
                    INSERT INTO balances VALUES (?1, ?2)
                    ON CONFLICT (account) DO UPDATE SET cents = cents + excluded.cents
                    """, arguments: [event.event.key, deposit.cents])
        })
    // balances: end
    return balances
}

struct Deposit: Codable {
    var cents: Int
}

func lookAfterParked(_ log: EventLog) async throws {
    // parked: begin
    for parked in try await log.parkedEvents(of: "mailer") {
        print(parked.streamID, parked.problem)
    }
    try await log.retryParked(of: "mailer")
    // parked: end
}
