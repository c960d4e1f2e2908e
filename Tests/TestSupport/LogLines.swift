public import Logging
import Synchronization

/// Keeps what was logged, with its metadata.
public struct LogLines: LogHandler {
    /// One line.
    public struct Line: Sendable {
        public let level: Logger.Level
        public let message: String
        public let metadata: Logger.Metadata
    }

    private final class Storage: Sendable {
        let lines = Mutex<[Line]>([])
    }

    private let storage = Storage()
    public var metadata: Logger.Metadata = [:]
    public var logLevel = Logger.Level.trace

    public init() {}

    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    public func log(event: LogEvent) {
        let line = Line(
            level: event.level, message: event.message.description,
            metadata: metadata.merging(event.metadata ?? [:]) { $1 })
        storage.lines.withLock { $0.append(line) }
    }

    /// A logger whose lines are kept here.
    public var logger: Logger { Logger(label: "test") { _ in self } }

    /// All lines with their levels and metadata, as one text.
    public var text: String { lines.map { "\($0.level) \($0.message) \($0.metadata)\n" }.joined() }

    /// All lines.
    public var lines: [Line] { storage.lines.withLock { $0 } }

    /// The lines with this message.
    public func lines(_ message: String) -> [Line] {
        storage.lines.withLock { $0.filter { $0.message == message } }
    }
}
