import Logging
import Synchronization

/// Keeps what was logged, with its metadata.
struct LogLines: LogHandler {
    struct Line: Sendable {
        let level: Logger.Level
        let message: String
        let metadata: Logger.Metadata
    }

    private final class Storage: Sendable {
        let lines = Mutex<[Line]>([])
    }

    private let storage = Storage()
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.trace

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let line = Line(
            level: event.level, message: event.message.description,
            metadata: metadata.merging(event.metadata ?? [:]) { $1 })
        storage.lines.withLock { $0.append(line) }
    }

    var lines: [Line] { storage.lines.withLock { $0 } }

    func lines(_ message: String) -> [Line] {
        storage.lines.withLock { $0.filter { $0.message == message } }
    }
}
