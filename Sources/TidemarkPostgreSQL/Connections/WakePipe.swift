import Foundation

/// Wakes a thread that waits for a socket.
final class WakePipe: Sendable {
    /// Readable when the thread is to look at what it has to do.
    let descriptor: Int32
    private let writeEnd: Int32

    init() {
        var ends: [Int32] = [-1, -1]
        // Fails when the process has no descriptors left; then it can do nothing of what it is for.
        precondition(pipe(&ends) == 0, "no pipe can be made: \(String(cString: strerror(errno)))")
        for end in ends {
            _ = fcntl(end, F_SETFL, fcntl(end, F_GETFL) | O_NONBLOCK)
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
        }
        (descriptor, writeEnd) = (ends[0], ends[1])
    }

    deinit {
        close(descriptor)
        close(writeEnd)
    }

    func wake() {
        var byte: UInt8 = 1
        // A pipe that is full wakes as well.
        _ = write(writeEnd, &byte, 1)
    }

    func drain() {
        var bytes: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        while read(descriptor, &bytes, 32) == 32 {}
    }

    /// Waits until the pipe has been woken, or something happens at the socket; not longer than `limit`, where there is
    /// one. Returns whether something happened at the socket.
    func wait(socket: Int32, for events: Int32, limit: Duration?) -> Bool {
        var descriptors = [
            pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
            pollfd(fd: socket, events: Int16(truncatingIfNeeded: events), revents: 0),
        ]
        // Rounded up, so that nobody asks again and again just before a deadline. A negative descriptor is left out.
        let milliseconds = limit.map { Int32(clamping: Int64(max(0, ($0 / .milliseconds(1)).rounded(.up)))) } ?? -1
        guard poll(&descriptors, 2, milliseconds) > 0 else { return false }
        if descriptors[0].revents != 0 { drain() }
        return descriptors[1].revents != 0
    }
}
