import Foundation
import Tidemark

/// What `status --watch` shows at a terminal: one screen, with what has changed since the look before.
struct StatusScreen {
    /// How large the terminal is, and whether it shows colours.
    struct Terminal {
        var columns = 80
        var rows = 24
        var hasColours = false

        /// As it is now: somebody may have changed its size. Colours only where nobody has asked for none
        /// (https://no-color.org).
        static var current: Terminal {
            var terminal = Terminal()
            var size = winsize()
            if ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0 {
                terminal.columns = Int(size.ws_col)
                terminal.rows = Int(size.ws_row)
            }
            let environment = ProcessInfo.processInfo.environment
            terminal.hasColours = (environment["NO_COLOR"] ?? "").isEmpty && environment["TERM"] != "dumb"
            return terminal
        }
    }

    private struct Look {
        let status: StreamStatus
        let at: Duration
    }

    /// Something that a person should have seen, also who looks a minute later.
    private struct Change {
        let time: String
        let text: String
        let isBad: Bool
    }

    private static let mostChanges = 50

    private var last: Look?
    private var changes: [Change] = []

    /// The lines of the screen, each as wide as it is at most, with their colours.
    ///
    /// - Parameters:
    ///   - now: on a clock that only goes on.
    ///   - time: of day, for people.
    mutating func lines(_ status: StreamStatus, now: Duration, time: String, _ terminal: Terminal) -> [String] {
        noteChanges(status, time: time)
        defer { last = Look(status: status, at: now) }
        let report = StatusReport(status: status)
        let rates = Rates(last?.status, status, seconds: last.map { (now - $0.at) / .seconds(1) } ?? 0)
        var lines = [Line("\(status.stream)   at \(status.sequence)\(rates.sequence)"), minimumLine(status)]
        lines += report.moreRows.map { Line("\($0[0]): \($0[1])", .warning) }
        let members = members(status, report, rates)
        let consumers = consumers(status, rates)
        // What does not fit is counted. Two rows stay for what has changed.
        let room = max(4, terminal.rows - 1 - lines.count - 2)
        let forConsumers = min(consumers.count, max(room / 3, room - members.count))
        lines += Self.fitting(members, into: room - forConsumers, "writers")
        lines += Self.fitting(consumers, into: forConsumers, "consumers")
        let left = terminal.rows - 1 - lines.count
        if left > 1, !changes.isEmpty {
            lines.append(Line(""))
            lines += changes.suffix(left - 1).reversed().map { Line("\($0.time)  \($0.text)", $0.isBad ? .bad : .dim) }
        }
        return lines.prefix(terminal.rows - 1).enumerated().map { row, line in
            line.shown(terminal, right: row == 0 ? time : "")
        }
    }

    private func minimumLine(_ status: StreamStatus) -> Line {
        guard let heldBack = status.heldBack() else {
            return Line("readers may read everything, up to \(status.minimumPersisted)", .good)
        }
        let waiting = status.newestEvent.rawValue - status.minimumPersisted.rawValue
        return Line(
            "readers may read up to \(status.minimumPersisted); \(waiting) more wait for \(heldBack)", .bad)
    }

    private func members(_ status: StreamStatus, _ report: StatusReport, _ rates: Rates) -> [Line] {
        let writers = report.sortedWriters.sorted { $0.isMember && !$1.isMember }
        if writers.isEmpty { return [Line(""), Line("no writer has joined", .dim)] }
        let rows = writers.map { writer -> (cells: [String], style: Line.Style) in
            let state = report.state(of: writer)
            let style: Line.Style =
                switch state {
                case "active": .plain
                case "left": .dim
                case "closed", "waiting": .warning
                default: .bad
                }
            return (
                [
                    "\(writer.writer.instance)", state, "\(writer.position)\(rates.writer(writer))",
                    writer.inFlight == 0 ? "" : "\(writer.inFlight)",
                    StatusReport.age(milliseconds: writer.heartbeatAgeMilliseconds),
                ], style
            )
        }
        return Self.table(["WRITER", "STATE", "POSITION", "IN FLIGHT", "HEARTBEAT"], rows)
    }

    private func consumers(_ status: StreamStatus, _ rates: Rates) -> [Line] {
        if status.consumers.isEmpty { return [] }
        let rows = status.consumers.map { consumer -> (cells: [String], style: Line.Style) in
            let lag = status.lag(of: consumer)
            let growth = rates.lag(of: consumer, lag)
            return (
                [
                    "\(consumer.name)", "\(consumer.position)", Self.bar(lag), "\(lag)\(growth.text)",
                    consumer.movedMillisecondsAgo.map { StatusReport.age(milliseconds: $0) } ?? "",
                    StatusReport.parked(consumer), Self.processes(of: consumer),
                ], consumer.parked > 0 ? .bad : growth.isGrowing ? .warning : .plain
            )
        }
        return Self.table(["CONSUMER", "POSITION", "BEHIND", "", "MOVED", "PARKED", "PROCESSES"], rows)
    }

    /// How many processes share the partitions of a processor, and how many partitions nobody has.
    static func processes(of consumer: StreamStatus.ConsumerStatus) -> String {
        if consumer.partitions.isEmpty { return "" }
        let owners = Set(consumer.partitions.compactMap(\.owner)).count
        let free = consumer.partitions.count { $0.owner == nil }
        return "\(owners)" + (free > 0 ? ", \(free) of \(consumer.partitions.count) partitions free" : "")
    }

    /// How far behind, in ten cells: one for a single event, all for a million, and for each cell four times as much as for
    /// the one before.
    static func bar(_ lag: Int64) -> String {
        let cells = lag <= 0 ? 0 : min(10, 1 + Int(log2(Double(lag)) * 9 / log2(1_000_000)))
        return String(repeating: "█", count: cells) + String(repeating: "·", count: 10 - cells)
    }

    // MARK: What has changed

    private mutating func noteChanges(_ status: StreamStatus, time: String) {
        guard let last = last?.status else { return }
        func note(_ text: String, isBad: Bool = false) {
            changes = (changes + [Change(time: time, text: text, isBad: isBad)]).suffix(Self.mostChanges)
        }
        let (before, after) = (StatusReport(status: last), StatusReport(status: status))
        let known = Dictionary(last.writers.map { ($0.writer.instance, $0) }) { first, _ in first }
        for writer in after.sortedWriters {
            let (name, state) = (writer.writer.instance, after.state(of: writer))
            guard let old = known[name] else {
                note("\(name) joined")
                continue
            }
            let was = before.state(of: old)
            if was != state {
                note("\(name) is \(state); it was \(was)", isBad: ["gone", "silent"].contains(state))
            } else if old.writer.epoch != writer.writer.epoch, writer.isMember {
                note("\(name) joined again")
            }
        }
        let there = Set(status.writers.map(\.writer.instance))
        for name in known.keys.sorted() where !there.contains(name) { note("\(name) left") }
        let parked = Dictionary(last.consumers.map { ($0.name, $0.parked) }) { first, _ in first }
        for consumer in status.consumers {
            let new = consumer.parked - (parked[consumer.name] ?? 0)
            if new > 0 { note("\(consumer.name) has parked \(new) event\(new == 1 ? "" : "s")", isBad: true) }
        }
        if last.heldBack()?.instance != status.heldBack()?.instance {
            if let heldBack = status.heldBack() {
                note("\(heldBack.instance) holds readers back", isBad: true)
            } else {
                note("nobody holds readers back any more")
            }
        }
    }

    /// How much of each there is in a second.
    private struct Rates {
        private let seconds: Double
        private let writers: [Writer: StreamID]
        private let lags: [ConsumerName: Int64]
        private(set) var sequence = ""

        init(_ last: StreamStatus?, _ status: StreamStatus, seconds: Double) {
            self.seconds = seconds
            writers = Dictionary(
                (last?.writers ?? []).map { ($0.writer, $0.position) }, uniquingKeysWith: { first, _ in first })
            lags = Dictionary(
                (last?.consumers ?? []).compactMap { consumer in last.map { (consumer.name, $0.lag(of: consumer)) } },
                uniquingKeysWith: { first, _ in first })
            if let last { sequence = text(status.sequence.rawValue - last.sequence.rawValue) }
        }

        private func text(_ difference: Int64) -> String {
            guard difference != 0, seconds > 0 else { return "" }
            let rate = Double(difference) / seconds
            return (rate < 0 ? " −" : " +") + "\(max(1, Int(abs(rate).rounded())))/s"
        }

        func writer(_ writer: StreamStatus.WriterStatus) -> String {
            writers[writer.writer].map { text(writer.position.rawValue - $0.rawValue) } ?? ""
        }

        func lag(of consumer: StreamStatus.ConsumerStatus, _ lag: Int64) -> (text: String, isGrowing: Bool) {
            guard let before = lags[consumer.name] else { return ("", false) }
            return (text(lag - before), lag > before)
        }
    }

    // MARK: Lines

    private struct Line {
        enum Style { case plain, heading, good, warning, bad, dim }

        let text: String
        let style: Style

        init(_ text: String, _ style: Style = .plain) {
            self.text = text.onOneLine
            self.style = style
        }

        func shown(_ terminal: Terminal, right: String) -> String {
            var text = String(text.prefix(terminal.columns))
            if !right.isEmpty, text.count + right.count < terminal.columns {
                text += String(repeating: " ", count: terminal.columns - text.count - right.count) + right
            }
            let code =
                switch style {
                case .plain: ""
                case .heading: "1"
                case .good: "32"
                case .warning: "33"
                case .bad: "31"
                case .dim: "2"
                }
            return terminal.hasColours && !code.isEmpty ? "\u{1B}[\(code)m\(text)\u{1B}[0m" : text
        }
    }

    private static func table(_ heading: [String], _ rows: [(cells: [String], style: Line.Style)]) -> [Line] {
        let text = StatusReport.table([heading] + rows.map(\.cells)).split(separator: "\n")
        return [Line("")] + zip(text, [.heading] + rows.map(\.style)).map { Line(String($0), $1) }
    }

    /// As many as there is room for, and how many more there are.
    private static func fitting(_ lines: [Line], into room: Int, _ what: String) -> [Line] {
        if lines.count <= room { return lines }
        let shown = max(0, room - 1)
        return lines.prefix(shown) + [Line("  and \(lines.count - shown) more \(what)", .dim)]
    }
}
