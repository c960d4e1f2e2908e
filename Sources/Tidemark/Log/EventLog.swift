import Logging
import ServiceLifecycle
import Synchronization

/// One stream of a database, for a process that writes events to it, reads them in order, or both.
///
/// Open it, then run it as a service. A log that was opened with an instance name is a writer from then on, before it
/// runs; it leaves when it is shut down. One without a name only reads.
///
/// A `ServiceGroup` shuts its services down in the reverse of their order. A log comes before whatever writes to it or
/// reads from it, so that these have ended when it does:
///
/// ```swift
/// ServiceGroup(services: [log, mailer, server], gracefulShutdownSignals: [.sigterm], logger: logger)
/// ```
public final class EventLog: Service {
    /// The stream that it writes to and reads.
    public let stream: StreamName
    /// The name that the log was opened with; a reader that was given none makes one up.
    public let instance: InstanceName
    /// Where the events are.
    public let store: any EventStore
    /// Hands IDs out, and knows how far everyone has come.
    public let generator: MultiWriterIDGenerator
    /// Commits what callers hand in, in groups.
    public let persister: EventPersister
    /// Reads the stream in order.
    public let reader: EventReader

    let configuration: EventLogConfiguration
    let transport: (any ReplicationTransport)?
    let time: TimeSource
    let logger: Logger
    let metrics: LogMetrics
    /// Tries to connect again, where that could not be done at first.
    let connecting = Mutex<Task<Void, Never>?>(nil)
    /// The IDs of the scopes that run, and whether what became of each was acknowledged.
    let scopes = Mutex<[StreamID: Bool]>([:])
    /// The newest claims that this log was given, by their generations.
    let claims = Mutex<[ConsumerName: Int]>([:])
    /// The orderly end, once it has begun.
    let ending = Mutex<Task<ShutDownOutcome, Never>?>(nil)

    /// The same with the transport that the store itself has: PostgreSQL carries commands beside the events, and a file
    /// carries none, so that its instances hear each other through the database alone.
    ///
    /// - Throws: as ``open(_:stream:instance:transport:configuration:time:logger:)``.
    public static func open(
        _ store: any EventStore, stream: StreamName = "events", instance: InstanceName? = nil,
        configuration: EventLogConfiguration = EventLogConfiguration(), time: TimeSource = .continuous,
        logger: Logger = Logger(label: "tidemark")
    ) async throws -> EventLog {
        try await open(
            store, stream: stream, instance: instance, transport: store.ownTransport(for: stream),
            configuration: configuration, time: time, logger: logger)
    }

    /// Joins the stream as a writer, when an instance name is given, and connects to the others.
    ///
    /// The writer is a member when this returns, and readers wait for it. Until ``run()`` has begun nobody writes its
    /// heartbeats: run it soon, for after ``EventLogConfiguration/silenceTimeout`` others may close it. A log that will
    /// not run is given back with ``shutDown()``.
    ///
    /// - Parameters:
    ///   - stream: made when it is missing and somebody writes to it.
    ///   - instance: the name to write under. A process that had it before writes no more. Processes that have no names of
    ///     their own take `.unique(prefix: "api")`.
    ///   - transport: how instances hear each other; with nil they do through the database alone, and so they do for as
    ///     long as it cannot connect. Where it is left out the store's own is taken, if it has one.
    /// - Throws: ``TidemarkError``, what the store throws, an ``UnusableTransport``, or `CancellationError`.
    public static func open(
        _ store: any EventStore, stream: StreamName = "events", instance: InstanceName? = nil,
        transport: (any ReplicationTransport)?, configuration: EventLogConfiguration = EventLogConfiguration(),
        time: TimeSource = .continuous, logger: Logger = Logger(label: "tidemark")
    ) async throws -> EventLog {
        let joined: Joined?
        if let instance {
            if configuration.hasKeyIndex { try await requireKeyIndex(of: stream, in: store) }
            joined = try await store.join(stream, as: instance)
        } else {
            joined = nil
        }
        let log = EventLog(
            store, stream: stream, instance: instance ?? .unique(prefix: "reader"),
            label: instance?.rawValue ?? "reader", joined: joined, transport: transport, configuration: configuration,
            time: time, logger: logger)
        do {
            try await log.start(joined: joined)
        } catch {
            await log.shutDown()
            throw error
        }
        return log
    }

    /// - Parameter label: of metrics. All readers that were given no name share one, because labels are kept for ever.
    private init(
        _ store: any EventStore, stream: StreamName, instance: InstanceName, label: String, joined: Joined?,
        transport: (any ReplicationTransport)?, configuration: EventLogConfiguration, time: TimeSource, logger: Logger
    ) {
        self.store = store
        self.stream = stream
        self.instance = instance
        self.transport = transport
        self.configuration = configuration
        self.time = time
        var logger = logger
        logger[metadataKey: "stream"] = "\(stream)"
        logger[metadataKey: "instance"] = "\(instance)"
        self.logger = logger
        let labels = [("stream", stream.rawValue), ("instance", label)]
        let metrics = LogMetrics(stream: stream, instance: label)
        self.metrics = metrics
        generator = MultiWriterIDGenerator(
            stream: stream, instance: instance, sequence: nil,
            machine: StreamMachine(
                instance: instance, membership: joined?.membership ?? Membership(members: [:], version: 0),
                writer: joined?.writer, sequence: joined?.position ?? 0, fence: joined?.fence ?? 0,
                configuration: StreamMachine.Configuration(configuration, store)),
            direction: .forward, time: time, logger: logger,
            log: MultiWriterIDGenerator.LogParts(
                store: store, metrics: metrics,
                catchingUp: BackgroundProcess("replication-catch-up", labels: labels, logger: logger)))
        persister = EventPersister(
            stream: stream, store: store, generator: generator, limits: configuration.limits,
            queue: PersistQueueLimits(configuration), metrics: metrics, time: time, logger: logger)
        reader = EventReader(
            stream: stream, store: store, generator: generator, configuration: configuration, time: time)
    }

    deinit { generator.release() }

    private func start(joined: Joined?) async throws {
        if let joined { generator.warnOfSequence(joined) }
        guard let transport else { return }
        do {
            try await generator.connect(over: transport)
        } catch let error where error is CancellationError || error is any UnusableTransport {
            throw error
        } catch {
            connectLater(transport, error)
        }
    }

    /// Goes on through the database alone, and tries to connect with growing delays, for as long as the log lives.
    private func connectLater(_ transport: any ReplicationTransport, _ error: any Error) {
        logger.warning(
            "replication cannot start: this log goes on through the database alone, which is slower; trying again",
            metadata: ["error": "\(error)"])
        let task = Task { [weak self, time] in
            var backoff = Backoff(shortest: .milliseconds(500), longest: .seconds(60))
            while true {
                let delay = backoff.nextDelay(random: .random(in: 0..<1))
                do { try await time.sleep(for: delay) } catch { return }
                guard let self else { return }
                do {
                    try await self.generator.connect(over: transport)
                    self.logger.notice("replication has started")
                    return
                } catch {
                    self.logger.debug("replication cannot start", metadata: ["error": "\(error)"])
                }
            }
        }
        connecting.withLock { $0 = task }
    }

    /// This instance in its present epoch; nil when it only reads, or writes no more.
    public var writer: Writer? { try? generator.currentWriter() }

    /// What this instance has said over replication so far: positions, and rows of finished IDs.
    public var announced: (positions: Int, rows: Int) {
        let counts = generator.state.withLock { $0.machine.announced }
        return (counts.positions, counts.rows)
    }
}

extension PersistQueueLimits {
    init(_ configuration: EventLogConfiguration) {
        self.init(
            waitingEvents: configuration.waitingEvents, waitingBytes: configuration.waitingBytes,
            groupEvents: configuration.groupEvents, groupBytes: configuration.groupBytes)
    }
}

extension StreamMachine.Configuration {
    init(_ configuration: EventLogConfiguration, _ store: any EventStore) {
        self.init()
        announcements = configuration.announcements
        announcedRows = configuration.announcedRows
        heartbeatInterval = configuration.heartbeatInterval
        reconcileInterval = configuration.reconcileInterval
        stallInterval = min(configuration.stallInterval, store.standstillInterval)
        closesSilentWriters = configuration.closesSilentWriters
        silenceTimeout = configuration.silenceTimeout
        retirementTimeout = configuration.retirementTimeout
        speaksBesideOthers = configuration.speaksBesideOthers
        quietTime = configuration.quietTimeBesideOthers
    }
}
