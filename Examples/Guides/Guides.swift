import GRDB
import Logging
import Tidemark
import TidemarkPostgreSQL
import TidemarkReplication
import TidemarkSQLite
import TidemarkTesting

#if Configuration
import Configuration
#endif

// What the articles of the documentation show and no other example has. It is compiled, and not run.

func explain(_ log: EventLog, _ logger: Logger) async throws {
    // explain: begin
    let explanation = try await log.explain()
    if let heldBackBy = explanation.heldBackBy {
        logger.warning("readers wait", metadata: ["at": "\(explanation.minimum)", "for": "\(heldBackBy)"])
    }
    // explain: end
}

func conforms(
    open: @escaping @Sendable () async throws -> any EventStore,
    close: @escaping @Sendable (any EventStore) async throws -> Void,
    backUp: @escaping @Sendable () async throws -> StoreFixture.Restoration
) async throws {
    let fixture = StoreFixture(open: open, endProcess: close, backUp: backUp)
    for check in StoreConformance.checks { try await check.run(fixture) }
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

/// A client of PostgreSQL: whichever the program has.
protocol SQLClient: Sendable {
    func execute(_ sql: String, _ arguments: [String?]) async throws
    /// One transaction with `READ COMMITTED`, which is rolled back where the body throws.
    func transaction(_ body: @Sendable (Self) async throws -> Void) async throws
}

/// A batch and its checkpoint in one transaction of PostgreSQL.
func balances(_ log: EventLog, over client: some SQLClient) async throws {
    // checkpoint statement: begin
    let model = try await log.consumer("balances", filter: .types(["deposited"]))
    for try await batch in model.events {
        let checkpoint = try model.checkpointStatement(batch)
        try await client.transaction { transaction in
            for event in batch.events {
                let cents = try event.decoded(as: Deposit.self).cents
                try await transaction.execute(
                    """
                    INSERT INTO balances VALUES ($1, $2::bigint)
                    ON CONFLICT (account) DO UPDATE SET cents = balances.cents + excluded.cents
                    """, [event.event.key, String(cents)])
            }
            try await transaction.execute(checkpoint.sql, checkpoint.arguments)
        }
    }
    // checkpoint statement: end
}

/// For a route that a load balancer or an operator asks.
func readiness(_ log: EventLog) async -> (isReady: Bool, text: String) {
    // health: begin
    var limits = StreamHealth.Limits()
    limits.consumerLag = .seconds(60)
    let health = await log.health(limits: limits)
    return (isReady: health.isHealthy, text: "\(health)")
    // health: end
}

#if Configuration
/// The same program on a file and on a server.
func open(_ tidemark: ConfigReader, _ logger: Logger) async throws -> EventLog {
    // either: begin
    let address = try tidemark.requiredString(forKey: "database", isSecret: true)
    if ["postgres://", "postgresql://"].contains(where: { address.hasPrefix($0) }) {
        let store = try await PostgreSQLEventStore.open(reading: tidemark)
        return try await EventLog.open(store, reading: tidemark, logger: logger)
    }
    let store = try await SQLiteEventStore.open(reading: tidemark)
    return try await EventLog.open(
        store, reading: tidemark,
        transport: SocketTransports.transport(reading: tidemark, besideDatabase: store.path), logger: logger)
    // either: end
}
#endif
