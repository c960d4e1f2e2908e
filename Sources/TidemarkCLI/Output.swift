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
    private let descriptor: Int32
    private let interruption: Interruption
    private let queue = DispatchQueue(label: "tidemark.output")
    /// A pipe that can be written to takes so many bytes without blocking.
    private static let pieceBytes = 4096
    /// How long the rest of what is being written is waited for after the program was told to end.
    private static let graceMilliseconds: Int32 = 1000

    /// Whether somebody sees standard output.
    static var isTerminal: Bool { isatty(STDOUT_FILENO) == 1 }

    init(descriptor: Int32 = STDOUT_FILENO, interruption: Interruption) {
        self.descriptor = descriptor
        self.interruption = interruption
    }

    /// Returns when all bytes are written.
    ///
    /// - Throws: ``OutputFailure`` when they cannot be; `CancellationError` when nobody took them within a second after
    ///   the program was told to end.
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
                    if errno == EINTR || errno == EAGAIN { continue }
                    throw OutputFailure(problem: String(cString: strerror(errno)))
                }
                rest = rest.dropFirst(count)
            }
        }
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
