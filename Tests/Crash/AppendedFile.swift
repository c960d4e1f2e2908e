import Foundation

/// A file that survives its writer: each piece is with the kernel when ``append(_:)`` returns, so that only the last
/// piece of a process that was killed can be cut off.
final class AppendedFile: Sendable {
    /// At the end of each whole line: one that was cut off does not look like another.
    static let mark: Character = ";"

    private let descriptor: Int32

    init(path: String) throws {
        descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Failure("\(path) cannot be opened: \(String(cString: strerror(errno)))") }
    }

    deinit { close(descriptor) }

    func append(_ lines: [String]) throws {
        let bytes = Array(lines.map { "\($0)\(Self.mark)\n" }.joined().utf8)
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 || errno == EINTR else { throw Failure("a line cannot be written") }
            rest = rest.dropFirst(max(count, 0))
        }
    }

    /// Ends a line that the process before this one left without an end.
    func beginAfterCrash() throws {
        guard write(descriptor, "\n", 1) == 1 else { throw Failure("a line cannot be written") }
    }

    /// The whole lines of a file, without their marks, each split at its spaces.
    static func lines(of path: String) throws -> [[Substring]] {
        guard FileManager.default.fileExists(atPath: path) else { return [] }
        return try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
            .filter { $0.last == mark }.map { $0.dropLast().split(separator: " ") }
    }
}
