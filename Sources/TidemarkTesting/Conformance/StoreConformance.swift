public import Tidemark

/// What every store has to do, as a list of checks that whoever writes one can run:
///
/// ```swift
/// @Test(arguments: StoreConformance.checks) func `the store conforms`(_ check: StoreCheck) async throws {
///     try await check.run { try await MyStore.open(freshDatabase) }
/// }
/// ```
///
/// They hold a store against the rules of `EventStore`, and need nothing of it but that protocol.
public enum StoreConformance {
    /// All of them, in the order of the protocol.
    public static var checks: [StoreCheck] {
        membershipChecks + closingChecks + writingChecks + unknownOutcomeChecks + readingChecks + consumerChecks
            + consumerStartChecks + exactCheckpointChecks + filterChecks + processingChecks + keyChecks + pruningChecks
    }
}

/// One thing that a store has to do.
public struct StoreCheck: Sendable, CustomStringConvertible {
    /// A sentence.
    public let description: String
    private let body: @Sendable (ConformanceStores) async throws -> Void

    init(_ description: String, _ body: @escaping @Sendable (ConformanceStores) async throws -> Void) {
        self.description = description
        self.body = body
    }

    /// Runs the check.
    ///
    /// - Parameter open: opens the same database at each call, which is empty at the first. Each store stands for a process.
    /// - Throws: ``ConformanceFailure``, or what the store throws and should not.
    public func run(_ open: @escaping @Sendable () async throws -> any EventStore) async throws {
        try await body(ConformanceStores(store: open(), open: open))
    }
}

/// A store did something else than it has to.
public struct ConformanceFailure: Error, CustomStringConvertible {
    public let description: String
}

/// What a check has to do with: one store, and others of the same database.
struct ConformanceStores: Sendable {
    let store: any EventStore
    let open: @Sendable () async throws -> any EventStore
    var stream: StreamName = "conformance"

    func join(_ name: InstanceName) async throws -> Joined { try await store.join(stream, as: name) }

    func events(_ ids: String...) -> [Event] {
        ids.map { Event(id: $0, type: "noted", key: "k", payload: Array($0.utf8)) }
    }

    @discardableResult
    func persist(_ events: [Event], _ writer: Writer) async throws -> [PersistOutcome] {
        try await store.persist(events, in: stream, by: writer)
    }

    func reconcile(above minimum: StreamID = 0, limit: Int = 1_000) async throws -> Reconciliation {
        guard let found = try await store.reconciliation(of: stream, above: minimum, limit: limit) else {
            throw ConformanceFailure(description: "the stream is not there")
        }
        return found
    }

    func members() async throws -> [Writer: StreamID] { try await reconcile().membership.members }

    /// A snapshot for the members of now.
    func snapshot(
        after position: StreamID = 0, through end: StreamID = StreamID(.max), limit: Int = 1_000, bytes: Int = .max,
        delivered: Delivered? = nil, claim: ClaimMark? = nil, versionOffset: Int = 0
    ) async throws -> Snapshot {
        let version = try await reconcile(limit: 0).membership.version + versionOffset
        let request = SnapshotRequest(
            delivered: delivered, claim: claim, membershipVersion: version, after: position, through: end, limit: limit,
            byteLimit: bytes)
        guard let snapshot = try await store.snapshot(of: stream, request) else {
            throw ConformanceFailure(description: "the stream is not there")
        }
        return snapshot
    }

    func beat(_ writer: Writer, at position: StreamID) async throws -> HeartbeatAnswer? {
        try await store.heartbeat([Heartbeat(stream: stream, writer: writer, position: position)]).first
    }
}

/// - Throws: ``ConformanceFailure`` where the two are not equal.
func require<Value: Equatable>(_ value: Value, is expected: Value, line: UInt = #line) throws {
    guard value != expected else { return }
    throw ConformanceFailure(description: "line \(line): \(value) is there, and \(expected) should be")
}

/// - Throws: ``ConformanceFailure`` where it is false.
func require(_ condition: Bool, _ sentence: String, line: UInt = #line) throws {
    if !condition { throw ConformanceFailure(description: "line \(line): \(sentence)") }
}

/// - Throws: ``ConformanceFailure`` where the body throws another error, or none.
func requireThrows(
    _ expected: TidemarkError, line: UInt = #line, _ body: () async throws -> Void
) async throws {
    try await requireThrows("\(expected)", line: line, where: { $0 == expected }, body)
}

/// - Throws: ``ConformanceFailure`` where the body throws an error that does not fit, or none.
func requireThrows(
    _ sentence: String, line: UInt = #line, where fits: (TidemarkError) -> Bool, _ body: () async throws -> Void
) async throws {
    do {
        try await body()
    } catch let error as TidemarkError where fits(error) {
        return
    } catch {
        throw ConformanceFailure(description: "line \(line): \(error) was thrown, and not: \(sentence)")
    }
    throw ConformanceFailure(description: "line \(line): nothing was thrown, and not: \(sentence)")
}

extension TidemarkError {
    /// What was there is not there any more, by whatever sign.
    var saysWentBackwards: Bool {
        switch self {
        case .databaseWentBackwards, .acknowledgedEventsLost: true
        default: false
        }
    }
}
