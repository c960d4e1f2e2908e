#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif
public import Logging

/// How an ``SQLiteEventStore`` opens its file and how long it waits.
public struct SQLiteConfiguration: Sendable {
    /// Whether a file, or a schema in it, that is not there is made.
    public var createsDatabase: Bool
    /// Whether the file is only read: nothing is created beside it, and every write throws
    /// `TidemarkError.readOnly(store:)`.
    ///
    /// Where the `-wal` and `-shm` files of a database are not there, as when nobody writes to it, and cannot be made,
    /// the file is read as one that does not change; once somebody writes, reads throw
    /// `TidemarkError.storeUnavailable(store:problem:)`, and it is to be opened again.
    public var readOnly: Bool
    /// How long a write waits, from when it was handed in, until it has its turn and SQLite's write lock, before it throws
    /// `TidemarkError.writeLockHeld(store:by:limit:)`. One wait serves all that wait in a process, and a
    /// transaction of the same process is waited for no longer.
    public var busyTimeout: Duration
    /// How long a read, and the opening of a database that is not made, waits for somebody who lets nobody read (SQLite's
    /// `EXCLUSIVE` locks), before it throws `TidemarkError.lockedForReading(store:by:limit:)`. Writers lock no
    /// reader out, so this is shorter.
    public var readTimeout: Duration
    /// How long a write queues behind the writes of other processes before it goes on without its place in the queue:
    /// the process in front may be stopped.
    public var fairnessTimeout: Duration
    /// How long the name of a writer that left is kept. After that it is forgotten, a few at a time, when others join and
    /// write heartbeats; the events that it wrote keep the name.
    public var formerNamesKeptFor: Duration
    /// Milliseconds since 1970-01-01 UTC, for the times that people are shown. Nothing is decided by it.
    public var wallClockMilliseconds: @Sendable () -> Int64
    /// Time that stands still while the machine is suspended, from any start: tells when a conditional close or
    /// retirement comes too late.
    public var awakeTime: @Sendable () -> Duration
    /// For what the administrator of the machine should know: permissions that were put right, a version of SQLite with
    /// a known fault.
    public var logger: Logger

    /// The defaults are right for most programs. See each property for what it bounds.
    public init(
        createsDatabase: Bool = true, readOnly: Bool = false, busyTimeout: Duration = .seconds(30),
        readTimeout: Duration = .seconds(5), fairnessTimeout: Duration = .seconds(1),
        formerNamesKeptFor: Duration = .seconds(30 * 86_400),
        wallClockMilliseconds: @escaping @Sendable () -> Int64 = Self.systemMilliseconds,
        awakeTime: @escaping @Sendable () -> Duration = Self.systemAwakeTime,
        logger: Logger = Logger(label: "tidemark.sqlite")
    ) {
        self.createsDatabase = createsDatabase
        self.readOnly = readOnly
        self.busyTimeout = busyTimeout
        self.readTimeout = readTimeout
        self.fairnessTimeout = fairnessTimeout
        self.formerNamesKeptFor = formerNamesKeptFor
        self.wallClockMilliseconds = wallClockMilliseconds
        self.awakeTime = awakeTime
        self.logger = logger
    }

    /// The system's clock that stands still while the machine is suspended.
    @Sendable public static func systemAwakeTime() -> Duration {
        start.duration(to: .now)
    }

    private static let start = SuspendingClock.now

    /// The system's wall clock.
    @Sendable public static func systemMilliseconds() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
    }
}

extension Duration {
    /// In seconds, for interfaces that take a floating point number.
    var inSeconds: Double { self / .seconds(1) }
}
