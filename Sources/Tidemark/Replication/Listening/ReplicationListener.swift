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
    private let reconcileInterval: Duration?
    private let time: TimeSource
    private let logger: Logger
    private let answers: DeadlineTimer
    private let state = Mutex(State())

    private struct State {
        var connection: (any ReplicationConnection)?
        var progress = CatchUpProgress()
        var owesCaughtUp = false
        var answering = AnswerSchedule(interval: .milliseconds(100))
    }

    /// - Parameters:
    ///   - name: under which it takes part. What comes back of what was sent under it is ignored.
    ///   - sources: the streams, each once.
    ///   - limits: of each stream.
    ///   - reconcileInterval: how often the sources are asked where the writers are, whatever is heard: a message that
    ///     nobody repeats, because its sender is gone, is not missed for longer. Nil: only on a new connection.
    ///   - metrics: where the background processes are measured; where the program measures everything, by default.
    ///   - tracer: where their spans go; the program's, by default.
    public init(
        _ transport: any ReplicationTransport, as name: InstanceName, sources: [any ReplicationStreamSource],
        limits: RowFeed.Limits = RowFeed.Limits(), reconcileInterval: Duration? = .seconds(1),
        time: TimeSource = .continuous, logger: Logger = Logger(label: "tidemark.replication"),
        metrics: (any MetricsFactory)? = nil, tracer: (any Tracer)? = nil
    ) {
        self.transport = transport
        self.name = name
        self.reconcileInterval = reconcileInterval
        self.time = time
        self.logger = logger
        answers = DeadlineTimer(time: time)
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
                    group.addTask {
                        await stream.run(askingEvery: self.reconcileInterval) { self.caughtUp(name) }
                    }
                }
            }
        }
        answers.set(nil) {}
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
            answer { $0.asked(at: time.now) }
        case .command(.position(let position)):
            streams[position.stream]?.change { $0.received(position) }
        case .command(.rdata(let row)):
            streams[row.stream]?.change { $0.received(row) }
        case .command:
            break
        }
    }

    /// Many may ask at once, such as all that have lost their server: one answer is for all of them.
    private func answer(_ ask: (inout AnswerSchedule) -> Bool) {
        let isDue = state.withLock { state in
            let isDue = ask(&state.answering)
            answers.set(state.answering.nextAnswer) { [weak self] in
                guard let self else { return }
                self.answer { $0.look(at: self.time.now) }
            }
            return isDue
        }
        if isDue { tellPositions() }
    }

    /// Nobody knows what was not heard: with the new position as the previous one, who has heard less asks the database.
    private func tellPositions() {
        send(
            streams.values.compactMap { stream in
                stream.source.ownPosition().map { own in
                    .position(
                        ReplicationPosition(
                            stream: own.stream, writer: own.writer, nonce: own.nonce,
                            previous: max(own.previous, own.new), new: own.new))
                }
            })
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
