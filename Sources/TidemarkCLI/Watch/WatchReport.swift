import Tidemark

/// What `replication watch` writes: a line for each command, and a line for each stream whose positions have changed, at
/// most once in an interval.
///
/// As text a command is the line that was heard, and what the program says itself begins with `#`, which no command does.
/// Rows of other software are shown by their size alone, unless they are asked for: they may hold anything, access tokens
/// too.
struct WatchReport {
    enum Format {
        case text
        case json
    }

    private let format: Format
    private let showsRows: Bool
    private let interval: Duration
    private var streams = HeardStreams()
    private var lastSummary: Duration?
    private var hasConnected = false
    private var skipped = 0
    private var lastSkipped: Duration?
    /// How often the number of skipped lines is written while it grows.
    private static let skippedInterval = Duration.seconds(10)

    init(format: Format, showsRows: Bool = false, interval: Duration = .seconds(1)) {
        self.format = format
        self.showsRows = showsRows
        self.interval = interval
    }

    /// What to write of an event, with its line break. `time` is in milliseconds since 1970.
    mutating func heard(_ event: ReplicationEvent, time: Int64) -> String {
        switch event {
        case .command(let command):
            return heard(command, time: time)
        case .disconnected(let reason):
            // Before it was there the log says why it is not.
            return hasConnected ? disconnected(reason: reason, time: time) : ""
        case .connected:
            defer { hasConnected = true }
            return hasConnected ? reconnected(time: time) : ""
        }
    }

    /// The line for a command, with its line break. `time` is in milliseconds since 1970.
    mutating func heard(_ command: ReplicationCommand, time: Int64) -> String {
        streams.heard(command)
        // Not its `line`, which may hold what nobody may see.
        let line = showsRows ? command.descriptionWithRows : command.description
        switch format {
        case .text: return line + "\n"
        case .json:
            return "{\"time\":\"\(Timestamp.text(time))\",\"command\":\"\(command.kind.rawValue)\""
                + ",\"line\":\(JSONString.quoted(line))}\n"
        }
    }

    /// The connection is gone: what others say from now on is not heard.
    private func disconnected(reason: String, time: Int64) -> String {
        switch format {
        case .text: "# the connection is gone: \(reason.onOneLine)\n"
        case .json:
            "{\"time\":\"\(Timestamp.text(time))\",\"connection\":\"gone\",\"reason\":\(JSONString.quoted(reason))}\n"
        }
    }

    /// The connection is back.
    private func reconnected(time: Int64) -> String {
        switch format {
        case .text: "# the connection is back: what was said in between is missing here\n"
        case .json: "{\"time\":\"\(Timestamp.text(time))\",\"connection\":\"back\",\"may_have_missed\":true}\n"
        }
    }

    /// How many lines were heard so far that are none of the known commands; written when it has grown, at most every ten
    /// seconds, and at the end.
    mutating func skipped(_ count: Int, now: Duration, time: Int64, isEnd: Bool = false) -> String {
        guard count > skipped else { return "" }
        if let lastSkipped, now - lastSkipped < Self.skippedInterval, !isEnd { return "" }
        skipped = count
        lastSkipped = now
        switch format {
        case .text: return "# \(count) line\(count == 1 ? "" : "s") skipped so far: unknown, or not as they should be\n"
        case .json: return "{\"time\":\"\(Timestamp.text(time))\",\"skipped_lines\":\(count)}\n"
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
