import Dispatch
import Foundation

/// The output cannot be written any more.
struct OutputFailure: ProgramError {
    let problem: String

    var status: ExitStatus { .unavailable }
    var description: String { "standard output cannot be written: \(problem)" }
}

/// Writes to standard output on a thread where blocking is fine, and stops waiting for whoever reads it when the
/// program has to end.
final class Output: Sendable {
    /// What to do when the reader of a pipe has closed it, as `head` does once it has enough.
    enum ReaderGone {
        /// The output is an answer to something that is done all the same.
        case goesOn
        /// The output is all that the program is for: it ends in order.
        case ends
        /// Somebody relies on having read it.
        case fails
    }

    private let descriptor: Int32
    private let interruption: Interruption
    private let readerGone: ReaderGone
    private let queue = DispatchQueue(label: "tidemark.output")
    /// A pipe that can be written to takes so many bytes without blocking.
    private static let pieceBytes = 4096
    /// How long the rest of what is being written is waited for after the program was told to end.
    private static let graceMilliseconds: Int32 = 1000

    /// Whether somebody sees standard output.
    static var isTerminal: Bool { isatty(STDOUT_FILENO) == 1 }

    init(descriptor: Int32 = STDOUT_FILENO, interruption: Interruption, readerGone: ReaderGone = .goesOn) {
        self.descriptor = descriptor
        self.interruption = interruption
        self.readerGone = readerGone
    }

    /// Has the program end in order as soon as nobody reads the output any more, and not only with the next write.
    func endWithReader() {
        let thread = Thread { [self] in
            var descriptors = [
                pollfd(fd: descriptor, events: 0, revents: 0),
                pollfd(fd: interruption.descriptor, events: Int16(POLLIN), revents: 0),
            ]
            while poll(&descriptors, 2, -1) < 0 {
                guard errno == EINTR else { return }
            }
            if Int32(descriptors[0].revents) & (POLLERR | POLLHUP) != 0 { interruption.request() }
        }
        thread.name = "tidemark.output.reader"
        thread.start()
    }

    /// Returns when all bytes are written. They are whole lines: where only a part of one gets into a file, because the
    /// disk is full say, that part is taken out again, so that what is appended later does not go on in its middle.
    ///
    /// - Throws: ``OutputFailure`` when they cannot be; `CancellationError` when nobody took them within a second after
    ///   the program was told to end, or nobody ever will.
    func write(_ bytes: [UInt8]) async throws {
        if bytes.isEmpty { return }
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
            queue.async {
                continuation.resume(with: Result { try self.writeBlocking(bytes) })
            }
        }
    }

    func write(_ text: String) async throws {
        try await write(Array(text.utf8))
    }

    private func writeBlocking(_ bytes: [UInt8]) throws {
        try bytes.withUnsafeBytes { buffer in
            var rest = buffer[...]
            while !rest.isEmpty {
                try waitForRoom()
                let piece = UnsafeRawBufferPointer(rebasing: rest.prefix(Self.pieceBytes))
                let count = Foundation.write(descriptor, piece.baseAddress, piece.count)
                if count < 0 {
                    let problem = errno
                    if problem == EINTR || problem == EAGAIN { continue }
                    if problem == EPIPE, try isFine() { return }
                    removeTornLine(endOf: buffer[..<rest.startIndex])
                    throw OutputFailure(problem: String(cString: strerror(problem)))
                }
                rest = rest.dropFirst(count)
            }
        }
    }

    /// Whether it is nothing that nobody reads the output.
    private func isFine() throws -> Bool {
        switch readerGone {
        case .goesOn: return true
        case .fails: return false
        case .ends:
            interruption.request()
            throw CancellationError()
        }
    }

    private func removeTornLine(endOf written: Slice<UnsafeRawBufferPointer>) {
        let torn = off_t(written.reversed().prefix { $0 != UInt8(ascii: "\n") }.count)
        var information = stat()
        guard torn > 0, fstat(descriptor, &information) == 0, information.st_mode & S_IFMT == S_IFREG else { return }
        let end = lseek(descriptor, 0, SEEK_CUR)
        // Not what another program has written since.
        guard end == information.st_size, ftruncate(descriptor, end - torn) == 0 else { return }
        lseek(descriptor, end - torn, SEEK_SET)
    }

    private func waitForRoom() throws {
        var descriptors = [
            pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0),
            pollfd(fd: interruption.descriptor, events: Int16(POLLIN), revents: 0),
        ]
        while poll(&descriptors, 2, -1) < 0 {
            guard errno == EINTR else { throw SystemCallFailure("poll") }
        }
        if descriptors[0].revents != 0 { return }
        while true {
            let count = poll(&descriptors, 1, Self.graceMilliseconds)
            if count > 0 { return }
            if count == 0 { throw CancellationError() }
            guard errno == EINTR else { throw SystemCallFailure("poll") }
        }
    }
}
