import Foundation

/// The three descriptors that a program begins with.
enum StandardStreams {
    /// Makes sure that no file which is opened later gets the number of a standard descriptor that was closed: what is
    /// meant for the output would be written into it. Reading, or writing, there fails as before.
    ///
    /// A write to a pipe that nobody reads, or beyond the largest size of a file, is an error from now on, and not the
    /// end of the process.
    static func prepare() {
        signal(SIGPIPE, SIG_IGN)
        signal(SIGXFSZ, SIG_IGN)
        for descriptor in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO] where fcntl(descriptor, F_GETFD) == -1 {
            // The lowest number that is free is taken: this one.
            _ = open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY)
        }
    }

    /// Writes a line to standard error. There is nobody to tell when that fails.
    static func writeError(_ line: String) {
        writeError(Array((line + "\n").utf8))
    }

    /// Writes bytes to standard error.
    static func writeError(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }
}
