import Logging
import Tidemark
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
