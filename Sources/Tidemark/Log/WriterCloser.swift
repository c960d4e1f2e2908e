import Logging
import Synchronization

/// Closes and retires other writers of a stream (rule 6): carries out what a ``SilenceWatch`` decides.
///
/// What it does may wait for the database's write lock, so that it is done beside whoever reconciles, one decision
/// after the other.
final class WriterCloser: Sendable {
    private let stream: StreamName
    private let store: any EventStore
    private let generator: MultiWriterIDGenerator
    private let reconciler: Reconciler
    private let time: TimeSource
    private let logger: Logger
    private let metrics: LogMetrics
    private let state: Mutex<State>

    private struct State {
        var watch: SilenceWatch
        var isBusy = false
        /// The store cannot write: others have to close.
        var isOver = false
    }

    init(
        stream: StreamName, store: any EventStore, generator: MultiWriterIDGenerator, reconciler: Reconciler,
        watch: SilenceWatch, time: TimeSource, logger: Logger, metrics: LogMetrics
    ) {
        self.stream = stream
        self.store = store
        self.generator = generator
        self.reconciler = reconciler
        self.time = time
        self.logger = logger
        self.metrics = metrics
        state = Mutex(State(watch: watch))
    }

    /// How far apart reconciling may be at most, for silence to count.
    var longestInterval: Duration { state.withLock { $0.watch.timeout / 4 } }

    /// Whether a decision is being carried out.
    var isBusy: Bool { state.withLock { $0.isBusy } }

    /// Looks at what was reconciled since `began`, and does what follows, in a task of its own.
    func reconciled(since began: Duration) {
        guard let decision = decide(since: began) else { return }
        Task { await self.carryOut(decision) }
    }

    /// What is to be done; nil when that is nothing, or something is being done. Whoever gets a decision carries it
    /// out.
    func decide(since began: Duration) -> SilenceWatch.Decision? {
        let writers = reconciler.observations
        let (positions, minimum, newest) = generator.change { ($0.positions, $0.minimum, $0.highestKnown) }
        return state.withLock { state in
            if state.isOver { return nil }
            let decision = state.watch.look(
                at: writers, as: generator.instance, positions: positions, minimum: minimum, newest: newest,
                from: began, to: time.awake)
            if state.isBusy || decision == SilenceWatch.Decision() { return nil }
            state.isBusy = true
            return decision
        }
    }

    func carryOut(_ decision: SilenceWatch.Decision) async {
        defer { state.withLock { $0.isBusy = false } }
        do {
            var hasChanged = false
            for observed in decision.close { hasChanged = try await close(observed) || hasChanged }
            for observed in decision.retire { hasChanged = try await retire(observed) || hasChanged }
            if decision.needsWrite, decision.close.isEmpty, decision.retire.isEmpty {
                try await recordWrite { try await store.checkWritable() }
            }
            if hasChanged { try await reconciler.reconcile() }
        } catch TidemarkError.readOnly {
            state.withLock { $0.isOver = true }
        } catch {
            logger.warning("silent writers could not be closed", metadata: ["error": "\(error)"])
        }
    }

    /// Does something that writes, and takes down what that says of whether everyone can.
    nonisolated(nonsending) func recordWrite<Value>(
        _ write: nonisolated(nonsending) () async throws -> Value
    ) async throws -> Value {
        let began = time.awake
        do {
            let value = try await write()
            let ended = time.awake
            state.withLock { $0.watch.wrote(from: began, to: ended) }
            return value
        } catch {
            let ended = time.awake
            state.withLock { $0.watch.interrupted(at: ended) }
            throw error
        }
    }

    private func close(_ observed: WriterObservation) async throws -> Bool {
        guard let position = try await recordWrite({ try await store.close(stream, observed: observed) }) else {
            return false
        }
        metrics.closedWriter()
        logger.notice("closed a writer", metadata: metadata(observed, position: position))
        return true
    }

    private func retire(_ observed: WriterObservation) async throws -> Bool {
        guard try await recordWrite({ try await store.retire(stream, observed: observed) }) else { return false }
        metrics.retiredWriter()
        logger.notice("retired a writer", metadata: metadata(observed, position: observed.position))
        return true
    }

    private func metadata(_ observed: WriterObservation, position: StreamID) -> Logger.Metadata {
        [
            "writer": "\(observed.writer.instance)", "epoch": "\(observed.writer.epoch)", "position": "\(position)",
            "reason": observed.isProcessGone ? "its process is gone" : "it was silent",
        ]
    }
}
