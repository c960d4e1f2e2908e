import Logging
import Synchronization

/// Everything that a logger was told, as one text.
final class LogText: Sendable {
    private let collected = Mutex("")

    var text: String { collected.withLock { $0 } }

    var logger: Logger {
        Logger(label: "test") { [self] _ in Handler(log: self) }
    }

    private struct Handler: LogHandler {
        let log: LogText
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.trace

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            log.collected.withLock { $0 += "\(event.message) \(event.metadata ?? [:])\n" }
        }
    }
}
