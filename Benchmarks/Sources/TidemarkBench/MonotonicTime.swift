#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// CLOCK_MONOTONIC, which all processes of a machine share, in nanoseconds.
enum MonotonicTime {
    static var now: Int64 { nanoseconds(CLOCK_MONOTONIC) }

    /// What all threads of this process have used of the processors so far, in nanoseconds.
    static var processorTime: Int64 { nanoseconds(CLOCK_PROCESS_CPUTIME_ID) }

    private static func nanoseconds(_ clock: clockid_t) -> Int64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }

    /// Sleeps until then; returns at once when that is over.
    static func sleep(until deadline: Int64) async throws {
        let rest = deadline - now
        if rest > 0 { try await Task.sleep(for: .nanoseconds(rest)) }
    }
}
