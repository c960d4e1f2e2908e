#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// A monotonic clock whose instants are the time since it was made, so that it can be passed on without a type
/// parameter. Tests pass one that they move by hand.
public struct TimeSource: Sendable {
    private let elapsed: @Sendable () -> Duration
    private let awakeElapsed: @Sendable () -> Duration
    private let sleepUntil: @Sendable (Duration) async throws -> Void

    /// - Parameter clock: one that goes on, or stands still, while the machine is suspended: the caller's choice.
    public init<C: Clock>(_ clock: C) where C.Duration == Duration {
        self.init(clock, suspending: clock)
    }

    /// - Parameter suspending: measures silence, and stands still while the machine is suspended.
    public init<C: Clock, S: Clock>(_ clock: C, suspending: S) where C.Duration == Duration, S.Duration == Duration {
        let start = clock.now
        elapsed = { start.duration(to: clock.now) }
        let awakeStart = suspending.now
        awakeElapsed = { awakeStart.duration(to: suspending.now) }
        sleepUntil = { try await clock.sleep(until: start.advanced(by: $0), tolerance: nil) }
    }

    /// Time limits go on while the machine is suspended, silence does not.
    public static let continuous = TimeSource(ContinuousClock(), suspending: SuspendingClock())

    /// The time since this source was made.
    public var now: Duration { elapsed() }
    /// Like ``now``, for silence: what nobody could break, because the machine was suspended, is none.
    public var awake: Duration { awakeElapsed() }

    /// - Throws: `CancellationError` when the task is cancelled.
    public func sleep(until deadline: Duration) async throws { try await sleepUntil(deadline) }
    /// The same for a length of time.
    public func sleep(for duration: Duration) async throws { try await sleepUntil(now + duration) }
}

/// The time of day: only ever shown or sent, never measured with.
public enum WallClock {
    /// Milliseconds since 1970.
    @Sendable public static func milliseconds() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
    }
}
