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
    public let stream: StreamName
    /// A reader without a name has one of its own making.
    public let instance: InstanceName
    public let store: any EventStore
    public let generator: MultiWriterIDGenerator
    public let persister: EventPersister
    public let reader: EventReader

    let configuration: EventLogConfiguration
    let reconciler: Reconciler
    let announcer: Announcer
    let transport: (any ReplicationTransport)?
    let membership: LogMembership
    let time: TimeSource
    let logger: Logger
    let metrics: LogMetrics
    let connection = Mutex<(any ReplicationConnection)?>(nil)
    /// Tries to connect again, where that could not be done at first.
    let connecting = Mutex<Task<Void, Never>?>(nil)
    /// The last join.
    let joined = Mutex<Joined?>(nil)
    /// The IDs of the scopes that run, and whether what became of each was acknowledged.
    let scopes = Mutex<[StreamID: Bool]>([:])
    let feed = Mutex(EventFeed())
    let asksSoon = Mutex(AsksSoon())
    let falseNewsTold = Mutex(FalseNewsTold())
    let foreignTold = Mutex(false)
    let catchingUp: BackgroundProcess
    /// The orderly end, once it has begun.
    let ending = Mutex<Task<ShutDownOutcome, Never>?>(nil)
    /// Nil when this log closes nobody.
    let closer: WriterCloser?

    /// What was heard has the database asked in a moment, unless it could not be asked the last time.
    struct AsksSoon {
        var isDue = false
        var hasFailed = false
    }

    /// Joins the stream as a writer, when an instance name is given, and connects to the others.
    ///
    /// The writer is a member when this returns, and readers wait for it. Until ``run()`` has begun nobody writes its
    /// heartbeats: run it soon, for after ``EventLogConfiguration/silenceTimeout`` others may close it. A log that will
    /// not run is given back with ``shutDown()``.
    ///
    /// - Parameters:
    ///   - stream: made when it is missing and somebody writes to it.
    ///   - instance: the name to write under. Whoever had it before writes no more. Processes that have no names of
    ///     their own take `.unique(prefix: "api")`.
    ///   - transport: how instances hear each other; without one they do through the database alone, and so they do for as
    ///     long as it cannot connect.
    /// - Throws: ``TidemarkError``, what the store throws, an ``UnusableTransport``, or `CancellationError`.
    public static func open(
        _ store: any EventStore, stream: StreamName = "events", instance: InstanceName? = nil,
        transport: (any ReplicationTransport)? = nil, configuration: EventLogConfiguration = EventLogConfiguration(),
        time: TimeSource = .continuous, logger: Logger = Logger(label: "tidemark")
    ) async throws -> EventLog {
        let joined: Joined?
        if let instance {
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
        catchingUp = BackgroundProcess(
            "replication-catch-up", labels: [("stream", stream.rawValue), ("instance", label)], logger: logger)
        membership = LogMembership(stream: stream, instance: instance, writer: joined?.writer, store: store)
        generator = MultiWriterIDGenerator(
            stream: stream, instance: instance,
            sequence: StoreSequence(stream: stream, store: store, membership: membership),
            membership: joined?.membership ?? Membership(members: [:], version: 0), sequenceRead: joined?.position ?? 0,
            direction: .forward, time: time, logger: logger)
        reconciler = Reconciler(stream: stream, store: store, generator: generator, time: time)
        let reconciler = reconciler
        let announcer = Announcer(
            stream: stream, generator: generator, transport: transport, configuration: configuration, time: time,
            logger: logger, label: label
        ) { try await reconciler.readSequence() }
        self.announcer = announcer
        let metrics = LogMetrics(stream: stream, instance: label)
        self.metrics = metrics
        closer =
            configuration.closesSilentWriters
            ? WriterCloser(
                stream: stream, store: store, generator: generator, reconciler: reconciler,
                watch: SilenceWatch(
                    timeout: configuration.silenceTimeout, retirement: configuration.retirementTimeout),
                time: time, logger: logger, metrics: metrics)
            : nil
        persister = EventPersister(
            stream: stream, store: store, generator: generator, limits: configuration.limits,
            queue: PersistQueueLimits(configuration), membership: membership, time: time
        ) { events, outcomes in
            metrics.committed(outcomes)
            announcer.committed(events, outcomes)
        }
        let membership = membership
        reader = EventReader(
            stream: stream, store: store, generator: generator, reconciler: reconciler, configuration: configuration,
            time: time
        ) { try membership.checkRunning() }
    }

    private func start(joined: Joined?) async throws {
        generator.observe(announcer)
        generator.state.withLock { state in
            state.onFalseNews = { [weak self] in self?.heardFalsely($0) }
        }
        membership.attach(generator: generator) { [weak self] joined in
            self?.warnOfSequence(joined)
            self?.joined.withLock { $0 = joined }
            self?.startAnnouncing()
        }
        if let joined { warnOfSequence(joined) }
        self.joined.withLock { $0 = joined }
        guard let transport else { return }
        do {
            try await connect(transport)
        } catch let error where error is CancellationError || error is any UnusableTransport {
            throw error
        } catch {
            connectLater(transport, error)
        }
    }

    private func warnOfSequence(_ joined: Joined) {
        guard let old = joined.raisedFrom else { return }
        logger.warning(
            "the sequence was behind the stream's rows or positions, as after a restored backup: it was moved up",
            metadata: ["was_at": "\(old)", "is_at": "\(joined.position)"])
    }

    /// This instance in its present epoch; nil when it only reads, or writes no more.
    public var writer: Writer? { try? membership.currentWriter() }

    /// What this instance has said over replication so far: positions, and rows of finished IDs.
    public var announced: (positions: Int, rows: Int) {
        let counts = announcer.counts
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
