import Tidemark

/// What `replication watch` writes: a line for each command, and a line for each stream whose positions have changed, at
/// most once in an interval.
///
/// As text a command is the line that was heard, and a summary begins with `#`, which no command does. An access token
/// is in neither.
struct WatchReport {
    enum Format {
        case text
        case json
    }

    private let format: Format
    private let interval: Duration
    private var streams = HeardStreams()
    private var lastSummary: Duration?

    init(format: Format, interval: Duration = .seconds(1)) {
        self.format = format
        self.interval = interval
    }

    /// The line for a command, with its line break. `time` is in milliseconds since 1970.
    mutating func heard(_ command: ReplicationCommand, time: Int64) -> String {
        streams.heard(command)
        // Not its `line`, which may hold an access token.
        let line = command.description
        switch format {
        case .text: return line + "\n"
        case .json:
            return "{\"time\":\"\(Timestamp.text(time))\",\"command\":\"\(command.kind.rawValue)\""
                + ",\"line\":\(JSONString.quoted(line))}\n"
        }
    }

    /// What was heard, but not written because nobody took the output fast enough.
    func leftOut(_ count: Int, time: Int64) -> String {
        switch format {
        case .text: "# \(count) commands left out: the output is not taken fast enough\n"
        case .json: "{\"time\":\"\(Timestamp.text(time))\",\"left_out\":\(count)}\n"
        }
    }

    /// When ``summaries(now:time:)`` has something to write; nil while nothing has changed.
    func nextSummary(now: Duration) -> Duration? {
        guard streams.hasChanged else { return nil }
        return max(now, lastSummary.map { $0 + interval } ?? now)
    }

    /// The streams that have changed, where it is time for that, or always at the end.
    mutating func summaries(now: Duration, time: Int64, isEnd: Bool = false) -> String {
        guard let next = nextSummary(now: now), next <= now || isEnd else { return "" }
        lastSummary = now
        return streams.takeChanged().map { line(for: $0, time: time) }.joined()
    }

    private func line(for summary: HeardStreams.Summary, time: Int64) -> String {
        switch format {
        case .text:
            let positions = summary.positions.map { "\($0.writer.wireName) \($0.position)" }
            let more = summary.uncounted > 0 ? ", and more writers than are counted" : ""
            return "# \(summary.stream): estimated minimum \(summary.estimatedMinimum) "
                + "(\(positions.joined(separator: ", "))\(more))\n"
        case .json:
            let positions = summary.positions.map { position in
                "{\"instance\":\(JSONString.quoted(position.writer.instance.rawValue))"
                    + ",\"epoch\":\(position.writer.epoch),\"position\":\(position.position)}"
            }
            return "{\"time\":\"\(Timestamp.text(time))\",\"stream\":\(JSONString.quoted(summary.stream.rawValue))"
                + ",\"estimated_minimum\":\(summary.estimatedMinimum)"
                + ",\"positions\":[\(positions.joined(separator: ","))]}\n"
        }
    }
}
