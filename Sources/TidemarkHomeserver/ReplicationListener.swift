import Synchronization
public import Logging
public import Metrics
public import ServiceLifecycle
public import Tracing
public import Tidemark
public import TidemarkCore
public import TidemarkWire

/// Listens to streams of rows over replication: those of other software that speaks the same lines, or one's own.
///
/// Run it as a service. An `EventLog` needs none: it listens to its own stream.
///
/// For each stream three background processes can be seen in metrics, logs and traces, with the label `stream`:
/// `replication-positions`, `replication-catch-up` and `replication-rows`; see `BackgroundProcess`.
public final class ReplicationListener: Service {
    /// What this participant calls itself on the connection.
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

/// A stream of rows that writers announce over replication, what the database has of it, and what is to be done with
/// its rows: each once, in the order of its writer.
///
/// Commands bring rows fast; where some were missed they come from the source, so that a lost message costs time and
/// never a row. Calls for one stream are made one after the other.
public protocol ReplicationStreamSource: Sendable {
    /// Its name on the wire.
    var stream: StreamName { get }
    /// Who is heard.
    var hearing: RowFeed.Hearing { get }

    /// The writers, and where each is now. The first answer is where listening begins, so that it may be what was kept
    /// from another time; rows up to later ones are fetched where they were missed. Where ``RowFeed/Hearing/members``
    /// are heard, these are all of them, in their newest epochs.
    ///
    /// Where ``RowFeed/Hearing/everyone`` is heard, a writer that is now behind what it has said began again, or somebody
    /// else has said that in its name: it is followed from what is sure, and rows may come twice. So a source whose answer
    /// may be old, as that of a replica of a database, leaves the writer out.
    func positions() async throws -> [Writer: StreamID]

    /// What a writer has written above `after` up to `through`, in order, at most `limit` updates.
    func updates(
        of writer: Writer, after: StreamID, through: StreamID, limit: Int
    ) async throws -> FetchedUpdates

    /// Does what the rows are for. An update without rows says that the writer is at its token.
    ///
    /// Where it throws, that is logged and counted, and after a growing delay the update comes once more, as
    /// ``updates(of:after:through:limit:)`` then has it.
    func handle(_ update: StreamUpdate) async throws

    /// Where this instance is, where it writes to the stream itself: told to others when they ask, and on each new
    /// connection. What was sent is at or below it. Nil where it only listens. Called from the transport's thread: it
    /// must not block.
    func ownPosition() -> ReplicationPosition?
}

extension ReplicationStreamSource {
    /// Members only.
    public var hearing: RowFeed.Hearing { .members }

    /// Nil: it only listens.
    public func ownPosition() -> ReplicationPosition? { nil }
}

/// What a source has of a writer.
public struct FetchedUpdates: Hashable, Sendable {
    /// In ascending order, each whole: no rows of one ID are left out.
    public let updates: [StreamUpdate]
    /// Whether there is no more up to what was asked for.
    public let isComplete: Bool

    /// For sources of a stream; nothing is checked here.
    public init(updates: [StreamUpdate], isComplete: Bool) {
        self.updates = updates
        self.isComplete = isComplete
    }
}

/// Whether a participant has caught up with every stream on its connection.
public struct CatchUpProgress: Sendable {
    private var waiting: Set<StreamName> = []
    private var isConnected = false

    /// Not connected.
    public init() {}

    /// A connection is new, and these are the streams that have to catch up on it.
    public mutating func connected(streams: some Sequence<StreamName>) {
        waiting = Set(streams)
        isConnected = true
    }

    /// The connection is gone: what catches up now does not count.
    public mutating func disconnected() {
        isConnected = false
    }

    /// True for the last stream of the connection.
    public mutating func caughtUp(_ stream: StreamName) -> Bool {
        guard isConnected, waiting.remove(stream) != nil else { return false }
        return waiting.isEmpty
    }
}
