import Logging
import Metrics
import Synchronization
import Tracing
import Tidemark
import TidemarkCore
import TidemarkWire

/// Carries out what a ``RowFeed`` decides about one stream.
final class StreamListener: Sendable {
    let source: any ReplicationStreamSource
    private let feed: Mutex<RowFeed>
    private let time: TimeSource
    private let reading: BackgroundProcess
    private let fetching: BackgroundProcess
    private let handling: BackgroundProcess
    /// One signal stands for any number of commands.
    private let signals = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))

    init(
        source: any ReplicationStreamSource, own: InstanceName, limits: RowFeed.Limits, time: TimeSource,
        logger: Logger, metrics: (any MetricsFactory)?, tracer: (any Tracer)?
    ) {
        self.source = source
        self.time = time
        feed = Mutex(RowFeed(own: own, hearing: source.hearing, limits: limits))
        let labels = [("stream", source.stream.rawValue)]
        var logger = logger
        logger[metadataKey: "stream"] = "\(source.stream)"
        reading = BackgroundProcess(
            "replication-positions", labels: labels, logger: logger, metrics: metrics, tracer: tracer)
        fetching = BackgroundProcess(
            "replication-catch-up", labels: labels, logger: logger, metrics: metrics, tracer: tracer)
        handling = BackgroundProcess(
            "replication-rows", labels: labels, logger: logger, metrics: metrics, tracer: tracer)
    }

    var counts: FeedCounts { feed.withLock { $0.counts } }

    func position(of writer: Writer) -> StreamID? { feed.withLock { $0.position(of: writer) } }

    /// Takes what was heard; it is dealt with in ``run(askingEvery:caughtUp:)``.
    func change(_ body: (inout RowFeed) -> Void) {
        feed.withLock { body(&$0) }
        signals.continuation.yield()
    }

    /// Does what there is to do, until the task is cancelled.
    ///
    /// - Parameter interval: how often the source is asked, whatever is heard; nil: only where something shows that it
    ///   has to be.
    func run(askingEvery interval: Duration?, caughtUp: @Sendable () -> Void) async {
        await withTaskGroup(of: Void.self) { group in
            if let interval {
                group.addTask {
                    while !Task.isCancelled {
                        do { try await self.time.sleep(for: interval) } catch { return }
                        self.change { $0.ask() }
                    }
                }
            }
            await carryOutSteps(caughtUp: caughtUp)
            group.cancelAll()
        }
    }

    private func carryOutSteps(caughtUp: @Sendable () -> Void) async {
        for await _ in signals.stream {
            while let step = feed.withLock({ $0.next() }) {
                do {
                    try await carryOut(step)
                } catch {
                    // It was logged and counted; the feed has it tried again.
                    let delay = feed.withLock { $0.failed(random: .random(in: 0..<1)) }
                    do { try await time.sleep(for: delay) } catch { return }
                    feed.withLock { $0.resume() }
                }
            }
            if feed.withLock({ $0.becameCaughtUp() }) { caughtUp() }
        }
    }

    private func carryOut(_ step: RowFeed.Step) async throws {
        switch step {
        case .readPositions:
            let positions = try await reading.run { _ in try await self.source.positions() }
            feed.withLock { $0.read(positions) }
        case .fetch(let writer, let after, let through, let limit):
            try await fetching.run { _ in
                let found = try await self.source.updates(of: writer, after: after, through: through, limit: limit)
                try self.feed.withLock { try $0.fetched(found.updates, isComplete: found.isComplete) }
            }
        case .handle(let update):
            try await handling.run { _ in try await self.source.handle(update) }
            feed.withLock { $0.handled() }
        }
    }
}
