import Foundation

/// Where numbers lie along one side of a plot: a range that covers them, with its marks.
public struct Axis: Hashable, Sendable {
    public enum Scale: Hashable, Sendable {
        case linear
        case logarithmic
    }

    public let scale: Scale
    public let lower: Double
    public let upper: Double
    /// Ascending, within the range.
    public let ticks: [Double]

    /// From 0 to a round number at or above all values; nil where there is none to show.
    public static func linear(covering values: some Sequence<Double>) -> Axis? {
        guard let highest = values.filter(\.isFinite).max() else { return nil }
        let step = niceStep(for: max(highest, 0) / 5)
        let count = max(1, (max(highest, 0) / step).rounded(.up))
        return Axis(
            scale: .linear, lower: 0, upper: count * step, ticks: (0...Int(count)).map { Double($0) * step })
    }

    /// Whole powers of ten around all values above 0; nil where there is none to show.
    public static func logarithmic(covering values: some Sequence<Double>) -> Axis? {
        let shown = values.filter { $0.isFinite && $0 > 0 }
        guard let lowest = shown.min(), let highest = shown.max() else { return nil }
        let first = log10(lowest).rounded(.down)
        let last = max(first + 1, log10(highest).rounded(.up))
        let powers = Int(first)...Int(last)
        return Axis(
            scale: .logarithmic, lower: pow(10, first), upper: pow(10, last),
            ticks: powers.map { power in power < 0 ? 1 / pow(10, Double(-power)) : pow(10, Double(power)) })
    }

    /// 0 at the lower end, 1 at the upper one. What lies beyond an end is shown at it.
    public func fraction(of value: Double) -> Double {
        if value.isNaN { return 0 }
        let fraction =
            switch scale {
            case .linear: (value - lower) / (upper - lower)
            case .logarithmic:
                value <= lower ? 0 : (log10(value) - log10(lower)) / (log10(upper) - log10(lower))
            }
        return min(max(fraction, 0), 1)
    }

    /// The least of 1, 2 and 5 times a power of ten that is no less.
    private static func niceStep(for raw: Double) -> Double {
        guard raw > 0 else { return 1 }
        let power = pow(10, log10(raw).rounded(.down))
        return ([1, 2, 5].map { $0 * power }.first { $0 >= raw * 0.999_999 }) ?? 10 * power
    }
}

extension Axis {
    /// The same with fewer marks, evenly apart, where there is little room: at most so many, beginning with the first.
    func thinned(to count: Int) -> Axis {
        let stride = max(1, (ticks.count + count - 1) / count)
        let kept = ticks.enumerated().filter { $0.offset.isMultiple(of: stride) }.map(\.element)
        return Axis(scale: scale, lower: lower, upper: upper, ticks: kept)
    }
}
