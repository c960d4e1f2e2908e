public import Logging
public import Metrics
import Synchronization
public import Tracing

/// Something that is done again and again beside everything else, under one name: how often, how many at this moment,
/// how long each took and which failed can be seen, and a failure is never lost.
///
/// Each run is measured with the labels `process` (the name) and those that were given:
///
/// | metric | |
/// |---|---|
/// | `tidemark_background_runs` | counter: runs that have begun |
/// | `tidemark_background_in_flight` | gauge: runs that have begun and not ended |
/// | `tidemark_background_duration` | timer: how long each run took, whatever became of it |
/// | `tidemark_background_errors` | counter: runs that failed |
///
/// It is a tracing span of that name, which records the error, and its logger has the metadata `process`.
public final class BackgroundProcess: Sendable {
    /// The name in metrics, spans and log lines. Names are of code, not of data, so that the label `process` is bounded.
    public let name: String
    /// Carries the name.
    public let logger: Logger
    private let runs: Counter
    private let errors: Counter
    private let duration: Metrics.Timer
    private let gauge: Gauge
    private let inFlight = Mutex(0)
    private let tracer: (any Tracer)?

    /// - Parameters:
    ///   - labels: of the metrics, beside the name.
    ///   - metrics: where to measure; where the program measures everything, when it is not given.
    ///   - tracer: where spans go; the program's, when it is not given.
    public init(
        _ name: String, labels: [(String, String)] = [], logger: Logger, metrics: (any MetricsFactory)? = nil,
        tracer: (any Tracer)? = nil
    ) {
        self.name = name
        self.tracer = tracer
        var logger = logger
        logger[metadataKey: "process"] = "\(name)"
        self.logger = logger
        let labels = [("process", name)] + labels
        let factory = metrics ?? MetricsSystem.factory
        runs = Counter(label: "tidemark_background_runs", dimensions: labels, factory: factory)
        errors = Counter(label: "tidemark_background_errors", dimensions: labels, factory: factory)
        duration = Metrics.Timer(label: "tidemark_background_duration", dimensions: labels, factory: factory)
        gauge = Gauge(label: "tidemark_background_in_flight", dimensions: labels, factory: factory)
    }

    /// How many runs have begun and not ended.
    public var runsInFlight: Int { inFlight.withLock { $0 } }

    /// Runs the body once. Its error is logged and counted, and goes to the caller; that it was cancelled is none.
    public func run<Result: Sendable>(_ body: @Sendable (Logger) async throws -> Result) async throws -> Result {
        let start = ContinuousClock.now
        begin()
        defer { end(after: ContinuousClock.now - start) }
        let tracer = self.tracer ?? InstrumentationSystem.tracer
        do {
            // The span records what it throws.
            return try await tracer.withAnySpan(name, context: .current ?? .topLevel, ofKind: .internal) { _ in
                try await body(logger)
            }
        } catch let error as CancellationError {
            throw error
        } catch {
            errors.increment()
            logger.error("a background process failed", metadata: ["error": "\(error)"])
            throw error
        }
    }

    /// Begins a run in a task of its own. Its error is logged and counted.
    @discardableResult
    public func start(_ body: @escaping @Sendable (Logger) async throws -> Void) -> Task<Void, Never> {
        Task {
            // What it throws is logged and counted.
            do { try await self.run(body) } catch {}
        }
    }

    private func begin() {
        runs.increment()
        record(1)
    }

    private func end(after time: Duration) {
        duration.record(duration: time)
        record(-1)
    }

    /// Under the lock, so that the gauge ends at what is true.
    private func record(_ change: Int) {
        inFlight.withLock { inFlight in
            inFlight += change
            gauge.record(inFlight)
        }
    }
}
