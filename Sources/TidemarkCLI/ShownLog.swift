import Logging

/// Shows what the library logs, from a level on, as lines on standard error, whether or not its warnings are shown: whoever
/// runs the program should know it.
struct ShownLog: LogHandler {
    var metadata: Logger.Metadata = [:]
    var logLevel: Logger.Level

    /// What a store warns of: permissions that were put right, say.
    static var ofStore: Logger { Logger(label: "tidemark.sqlite") { _ in ShownLog(logLevel: .warning) } }

    /// What a transport finds that no retry will mend. Where it only cannot be used for now, ``ToldTransport`` says so.
    static var ofTransport: ShownLog { ShownLog(logLevel: .error) }
    static let transportLabel = "tidemark.replication"

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let values = metadata.merging(event.metadata ?? [:]) { $1 }.sorted { $0.key < $1.key }
        let details = values.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
        StandardStreams.writeError(("tidemark: \(event.message)" + (details.isEmpty ? "" : " (\(details))")).onOneLine)
    }
}

/// What the library logs: nothing but what only a transport can tell, since an error line stands alone; or its warnings, on
/// standard error.
func setUpLogging(verbose: Bool) {
    LoggingSystem.bootstrap { label in
        if !verbose { return label == ShownLog.transportLabel ? ShownLog.ofTransport : SwiftLogNoOpLogHandler() }
        var handler = StreamLogHandler.standardError(label: label)
        handler.logLevel = .warning
        return handler
    }
}
