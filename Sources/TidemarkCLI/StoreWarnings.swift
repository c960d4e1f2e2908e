import Logging

/// Shows what a store warns of as lines on standard error, whether or not the library's warnings are shown: whoever runs
/// the program should know that permissions were put right.
struct StoreWarnings: LogHandler {
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.warning

    static var logger: Logger { Logger(label: "tidemark.sqlite") { _ in StoreWarnings() } }

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
