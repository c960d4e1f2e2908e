public import CoreMetrics
import Synchronization

/// Keeps what swift-metrics counts, and shows it in the text format of Prometheus (version 0.0.4).
///
/// The number of series is bounded: those beyond it are counted in `prometheus_text_series_refused` and nowhere else.
public final class PrometheusText: MetricsFactory {
    private struct State {
        /// By name, and then by labels.
        var series: [String: [String: Series]] = [:]
        var count = 0
        var refused = 0
    }

    private let state = Mutex(State())
    private let limit: Int

    /// - Parameter limit: how many series are kept.
    public init(limit: Int = 10_000) { self.limit = limit }

    /// All series, in the order of their names.
    public var text: String {
        let (all, refused) = state.withLock { ($0.series, $0.refused) }
        var text = ""
        for (name, series) in all.sorted(by: { $0.key < $1.key }) {
            for (index, (labels, one)) in series.sorted(by: { $0.key < $1.key }).enumerated() {
                if index == 0 { text += "# TYPE \(name) \(one.kind.rawValue)\n" }
                text += one.lines(name, labels.isEmpty ? "" : "{\(labels)}")
            }
        }
        return text + "# TYPE prometheus_text_series_refused counter\nprometheus_text_series_refused \(refused)\n"
    }

    private func series(_ kind: Series.Kind, _ label: String, _ dimensions: [(String, String)]) -> Series {
        let name = Self.name(label)
        let labels = dimensions.map { "\(Self.name($0.0))=\"\(Self.escaped($0.1))\"" }.sorted().joined(separator: ",")
        return state.withLock { state in
            if let known = state.series[name]?[labels], known.kind == kind { return known }
            let new = Series(kind: kind)
            // One name has one type.
            guard state.count < limit, state.series[name]?.first?.value.kind ?? kind == kind else {
                state.refused += 1
                return new
            }
            state.count += 1
            state.series[name, default: [:]][labels] = new
            return new
        }
    }

    /// Letters, digits and underscores, as the names of metrics and of labels are.
    private static func name(_ text: String) -> String {
        let name = String(text.map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "_" })
        return name.first?.isNumber ?? true ? "_" + name : name
    }

    private static func escaped(_ value: String) -> String {
        value.unicodeScalars.reduce(into: "") { text, scalar in
            switch scalar {
            case "\\", "\"": text += "\\\(scalar)"
            case "\n": text += "\\n"
            default: text.unicodeScalars.append(scalar)
            }
        }
    }

    public func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        series(.counter, label, dimensions)
    }

    public func makeFloatingPointCounter(
        label: String, dimensions: [(String, String)]
    ) -> any FloatingPointCounterHandler { series(.counter, label, dimensions) }

    public func makeRecorder(label: String, dimensions: [(String, String)], aggregate: Bool) -> any RecorderHandler {
        series(aggregate ? .summary : .gauge, label, dimensions)
    }

    public func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        series(.gauge, label, dimensions)
    }

    /// Times are in seconds, as is the custom there.
    public func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        series(.summary, label + "_seconds", dimensions)
    }

    // A series stays when the program's object for it goes: its numbers only grow.
    public func destroyCounter(_ handler: any CounterHandler) {}
    public func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) {}
    public func destroyRecorder(_ handler: any RecorderHandler) {}
    public func destroyMeter(_ handler: any MeterHandler) {}
    public func destroyTimer(_ handler: any TimerHandler) {}
}

/// One name with its labels: a number, and of a summary how many numbers it is the sum of.
private final class Series: CounterHandler, FloatingPointCounterHandler, RecorderHandler, MeterHandler, TimerHandler {
    enum Kind: String { case counter, gauge, summary }

    let kind: Kind
    private let state = Mutex((value: 0.0, count: 0))

    init(kind: Kind) { self.kind = kind }

    func lines(_ name: String, _ labels: String) -> String {
        let (value, count) = state.withLock { $0 }
        // A whole number without a fraction.
        let number = Int64(exactly: value).map { "\($0)" } ?? "\(value)"
        return kind == .summary
            ? "\(name)_sum\(labels) \(number)\n\(name)_count\(labels) \(count)\n" : "\(name)\(labels) \(number)\n"
    }

    func increment(by amount: Int64) { increment(by: Double(amount)) }
    func increment(by amount: Double) { state.withLock { $0.value += amount } }
    func decrement(by amount: Double) { increment(by: -amount) }
    func set(_ value: Int64) { set(Double(value)) }
    func set(_ value: Double) { state.withLock { $0.value = value } }
    func reset() { state.withLock { $0 = (0, 0) } }
    func record(_ value: Int64) { record(Double(value)) }
    func recordNanoseconds(_ duration: Int64) { record(Double(duration) / 1e9) }
    func record(_ value: Double) {
        state.withLock { $0 = kind == .summary ? ($0.value + value, $0.count + 1) : (value, 1) }
    }
}
