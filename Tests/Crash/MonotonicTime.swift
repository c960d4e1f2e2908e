#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// CLOCK_MONOTONIC, which all processes of a machine share, in nanoseconds.
enum MonotonicTime {
    static var now: Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}
