#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// The time of day: only ever shown or sent, never measured with.
public enum WallClock {
    /// Milliseconds since 1970.
    @Sendable public static func milliseconds() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
    }
}

extension FieldText {
    /// An ID for one run of an instance, which nobody else has: 128 random bits.
    public static func newInstanceID() -> FieldText {
        let text = (0..<2).map { _ in String(UInt64.random(in: 0 ... .max), radix: 36) }.joined(separator: "-")
        do {
            return try FieldText(validating: text)
        } catch {
            preconditionFailure("digits and letters are a field: \(error)")
        }
    }
}
