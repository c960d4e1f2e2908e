public import Tidemark

/// What every store has to do, as a list of checks that whoever writes one can run:
///
/// ```swift
/// @Test(arguments: StoreConformance.checks) func `the store conforms`(_ check: StoreCheck) async throws {
///     try await check.run(StoreFixture(open: { try await MyStore.open(freshDatabase) }, endProcess: …, backUp: …))
/// }
/// ```
///
/// They hold a store against the rules of `EventStore`, and need nothing of it but that protocol, and what ``StoreFixture`` has.
public enum StoreConformance {
    /// All of them, in the order of the protocol.
    public static var checks: [StoreCheck] {
        membershipChecks + nameChecks + heartbeatChecks + closingChecks + processEndChecks + writingChecks
            + racingChecks
            + unknownOutcomeChecks + readingChecks + batchChecks + rawChecks + statusChecks + consumerChecks
            + consumerStartChecks + exactCheckpointChecks + filterChecks + auditChecks + processingChecks
            + handlingChecks + keyChecks + pruningChecks + restoringChecks
    }
}

/// The database that a check works on, and what can be done to it from outside.
public struct StoreFixture: Sendable {
    /// Puts a database back as it was.
    public typealias Restoration = @Sendable () async throws -> Void

    let open: @Sendable () async throws -> any EventStore
    let endProcess: (@Sendable (any EventStore) async throws -> Void)?
    let backUp: (@Sendable () async throws -> Restoration)?

    /// - Parameters:
    ///   - open: opens the same database at each call, which is empty at the first. Each store stands for a process.
    ///   - endProcess: ends the process that a store of `open` stands for, as being killed would: mostly it closes the store.
    ///   - backUp: keeps the database as it is now, and returns what puts that back under the stores that have it open.
    public init(
        open: @escaping @Sendable () async throws -> any EventStore,
        endProcess: (@Sendable (any EventStore) async throws -> Void)? = nil,
        backUp: (@Sendable () async throws -> Restoration)? = nil
    ) {
        self.open = open
        self.endProcess = endProcess
        self.backUp = backUp
    }
}

/// One thing that a store has to do.
public struct StoreCheck: Sendable, CustomStringConvertible {
    /// What a check does besides calling stores.
    public enum Need: Hashable, Sendable {
        /// It ends processes.
        case endProcess
        /// It puts a backup back.
        case backUp
    }

    /// A sentence.
    public let description: String
    /// What it does besides calling stores; nil for most.
    public let need: Need?
    let body: @Sendable (ConformanceStores) async throws -> Void

    init(
        _ description: String, needs need: Need? = nil,
        _ body: @escaping @Sendable (ConformanceStores) async throws -> Void
    ) {
        self.description = description
        self.need = need
        self.body = body
    }

    /// Runs the check.
    ///
    /// - Throws: ``ConformanceFailure``, also where the fixture lacks what the check needs, or what the store throws and
    ///   should not.
    public func run(_ fixture: StoreFixture) async throws {
        let isMissing =
            switch need {
            case .endProcess: fixture.endProcess == nil
            case .backUp: fixture.backUp == nil
            case nil: false
            }
        try require(!isMissing, "the check needs a fixture with `\(need.map { "\($0)" } ?? "")`")
        try await body(ConformanceStores(store: fixture.open(), fixture: fixture))
    }

    /// Runs a check that needs nothing but stores.
    ///
    /// - Parameter open: as that of ``StoreFixture``.
    /// - Throws: ``ConformanceFailure``, or what the store throws and should not.
    public func run(_ open: @escaping @Sendable () async throws -> any EventStore) async throws {
        try await run(StoreFixture(open: open))
    }
}

/// A store did something else than it has to.
public struct ConformanceFailure: Error, CustomStringConvertible {
    public let description: String
}

/// What a check has to do with: one store, and others of the same database.
struct ConformanceStores: Sendable {
    let store: any EventStore
    let fixture: StoreFixture
    var stream: StreamName = "conformance"

    /// Another process.
    func open() async throws -> any EventStore { try await fixture.open() }

    func endProcess(_ store: any EventStore) async throws { try await fixture.endProcess?(store) }

    /// Keeps the database as it is now.
    func backUp() async throws -> StoreFixture.Restoration {
        guard let backUp = fixture.backUp else { throw ConformanceFailure(description: "there is no backup") }
        return try await backUp()
    }

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

    func observation(of instance: InstanceName, by store: any EventStore) async throws -> WriterObservation {
        let found = try await store.reconciliation(of: stream, above: 0, limit: 0)?.observations
        guard let seen = found?.first(where: { $0.writer.instance == instance }) else {
            throw ConformanceFailure(description: "member \(instance) is not observed")
        }
        return seen
    }

    func beat(_ writer: Writer, at position: StreamID) async throws -> HeartbeatAnswer? {
        try await store.heartbeat([Heartbeat(stream: stream, writer: writer, position: position)]).first
    }
}

/// Asks again until it is so: a database may hear of the end of a process a little later.
///
/// - Throws: ``ConformanceFailure`` where it is not so after ten seconds.
func eventually(_ sentence: String, line: UInt = #line, _ isSo: () async throws -> Bool) async throws {
    for _ in 0..<1_000 {
        if try await isSo() { return }
        // Nothing announces the end of a process to whoever asks.
        try await Task.sleep(for: .milliseconds(10))
    }
    throw ConformanceFailure(description: "line \(line): it does not happen: \(sentence)")
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

    var isUnknownStream: Bool { if case .unknownStream = self { true } else { false } }
}
