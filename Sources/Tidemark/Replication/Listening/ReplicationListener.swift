public import Logging
public import Metrics
public import ServiceLifecycle
import Synchronization
public import Tracing

/// Listens to streams of rows over replication: those of other software that speaks the same lines, or one's own.
///
/// Run it as a service. An ``EventLog`` needs none: it listens to its own stream.
///
/// For each stream three background processes can be seen in metrics, logs and traces, with the label `stream`:
/// `replication-positions`, `replication-catch-up` and `replication-rows`; see ``BackgroundProcess``.
public final class ReplicationListener: Service {
    public let name: InstanceName
    private let transport: any ReplicationTransport
    private let streams: [StreamName: StreamListener]
    private let logger: Logger
    private let state = Mutex(State())

    private struct State {
        var connection: (any ReplicationConnection)?
        var progress = CatchUpProgress()
        var owesCaughtUp = false
    }

    /// - Parameters:
    ///   - name: under which it takes part. What comes back of what was sent under it is ignored.
    ///   - sources: the streams, each once.
    ///   - limits: of each stream.
    ///   - metrics: where the background processes are measured; where the program measures everything, by default.
    ///   - tracer: where their spans go; the program's, by default.
    public init(
        _ transport: any ReplicationTransport, as name: InstanceName, sources: [any ReplicationStreamSource],
        limits: RowFeed.Limits = RowFeed.Limits(), time: TimeSource = .continuous,
        logger: Logger = Logger(label: "tidemark.replication"), metrics: (any MetricsFactory)? = nil,
        tracer: (any Tracer)? = nil
    ) {
        self.transport = transport
        self.name = name
        self.logger = logger
        let listeners = sources.map { source in
            (
                source.stream,
                StreamListener(
                    source: source, own: name, limits: limits, time: time, logger: logger, metrics: metrics,
                    tracer: tracer)
            )
        }
        streams = Dictionary(uniqueKeysWithValues: listeners)
    }

    /// What was heard of a stream and not handed on; nil where that stream is not listened to.
    public func counts(of stream: StreamName) -> FeedCounts? { streams[stream]?.counts }

    /// Up to where everything of a writer was handled; nil while it is unknown.
    public func position(of writer: Writer, in stream: StreamName) -> StreamID? {
        streams[stream]?.position(of: writer)
    }

    /// Sends commands to the others, while there is a connection: rows that this instance wrote, say.
    public func send(_ commands: [ReplicationCommand]) {
        state.withLock { $0.connection }?.send(commands)
    }

    /// Listens until graceful shutdown, or until the task is cancelled.
    ///
    /// - Throws: what the transport throws when it cannot begin.
    public func run() async throws {
        let connection = try await transport.connect(as: name) { [weak self] event in self?.received(event) }
        let owesCaughtUp = state.withLock { state in
            state.connection = connection
            return state.owesCaughtUp
        }
        if owesCaughtUp { connection.caughtUp() }
        tellPositions()
        await cancelWhenGracefulShutdown {
            await withTaskGroup(of: Void.self) { group in
                for (name, stream) in self.streams {
                    group.addTask { await stream.run { self.caughtUp(name) } }
                }
            }
        }
        state.withLock { $0.connection = nil }
        // Also when this task is cancelled.
        await Task { await connection.close() }.value
    }

    private func received(_ event: ReplicationEvent) {
        switch event {
        case .connected:
            state.withLock { $0.progress.connected(streams: streams.keys) }
            for stream in streams.values { stream.change { $0.connected() } }
            tellPositions()
        case .disconnected(let reason):
            state.withLock { $0.progress.disconnected() }
            for stream in streams.values { stream.change { $0.disconnected() } }
            logger.debug("replication is disconnected", metadata: ["reason": "\(reason)"])
        case .command(.replicate):
            tellPositions()
        case .command(.position(let position)):
            streams[position.stream]?.change { $0.received(position) }
        case .command(.rdata(let row)):
            streams[row.stream]?.change { $0.received(row) }
        case .command:
            break
        }
    }

    private func tellPositions() {
        send(streams.values.compactMap { $0.source.ownPosition().map { .position($0) } })
    }

    private func caughtUp(_ stream: StreamName) {
        let connection: (any ReplicationConnection)? = state.withLock { state in
            guard state.progress.caughtUp(stream) else { return nil }
            state.owesCaughtUp = state.connection == nil
            return state.connection
        }
        connection?.caughtUp()
    }
}
