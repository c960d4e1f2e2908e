import Tidemark

/// What `status` shows, for programs and for people.
struct StatusReport {
    let status: StreamStatus

    /// One JSON object without a newline, its members always in this order.
    var json: String {
        let writers = sortedWriters.map { writer in
            "{\"instance\":\(JSONString.quoted(writer.writer.instance.rawValue)),\"epoch\":\(writer.writer.epoch)"
                + ",\"position\":\(writer.position),\"state\":\"\(state(of: writer))\""
                + ",\"in_flight\":\(writer.inFlight),\"heartbeat_age_ms\":\(writer.heartbeatAgeMilliseconds)}"
        }
        let consumers = status.consumers.map { consumer in
            "{\"name\":\(JSONString.quoted(consumer.name.rawValue)),\"position\":\(consumer.position)"
                + ",\"lag\":\(status.lag(of: consumer)),\"parked\":\(consumer.parked)"
                + ",\"partitions\":[\(consumer.partitions.map(json).joined(separator: ","))]}"
        }
        return "{\"stream\":\(JSONString.quoted(status.stream.rawValue)),\"sequence\":\(status.sequence)"
            + ",\"minimum_persisted\":\(status.minimumPersisted),\"held_back_by\":\(heldBackJSON)"
            + ",\"writers\":[\(writers.joined(separator: ","))],\"consumers\":[\(consumers.joined(separator: ","))]"
            + ",\"left\":\(status.leftCount),\"write_lock_held_by\":\(Self.json(status.writeLockHolder))"
            + ",\"wal\":\(logJSON),\"in_the_way\":[\(status.blockers.map(Self.json).joined(separator: ","))]"
            + ",\"key_index\":\(keyIndexJSON),\"pruned_through\":\(status.prunedThrough)}"
    }

    private var keyIndexJSON: String {
        switch status.keyIndex {
        case .missing: "null"
        case .building(let id): "{\"complete\":false,\"from\":\(id)}"
        case .complete: "{\"complete\":true,\"from\":0}"
        }
    }

    private func json(_ partition: StreamStatus.PartitionStatus) -> String {
        let handler = partition.oldestHandler.map {
            "{\"stream_id\":\($0),\"since_ms\":\(partition.handlerMilliseconds ?? 0)}"
        }
        return "{\"partition\":\(partition.partition),\"position\":\(partition.position)"
            + ",\"lag\":\(status.lag(at: partition.position)),\"owned\":\(partition.owner != nil)"
            + ",\"process\":\(partition.processID.map(String.init) ?? "null"),\"handling\":\(handler ?? "null")}"
    }

    /// Aligned tables, with a newline at the end.
    var text: String {
        var text = Self.table(
            [
                ["stream", "\(status.stream)"], ["sequence", "\(status.sequence)"],
                ["minimum persisted", "\(status.minimumPersisted)"],
                ["held back by", status.heldBack().map(\.description) ?? "nobody"],
            ] + moreRows)
        if !status.writers.isEmpty {
            text += "\n"
            text += Self.table(
                [["WRITER", "EPOCH", "POSITION", "STATE", "IN FLIGHT", "HEARTBEAT"]]
                    + sortedWriters.map { writer in
                        [
                            "\(writer.writer.instance)", "\(writer.writer.epoch)", "\(writer.position)",
                            state(of: writer), "\(writer.inFlight)",
                            Self.age(milliseconds: writer.heartbeatAgeMilliseconds),
                        ]
                    })
        }
        if !status.consumers.isEmpty {
            text += "\n"
            text += Self.table(
                [["CONSUMER", "POSITION", "LAG", "PARKED"]]
                    + status.consumers.map {
                        ["\($0.name)", "\($0.position)", "\(status.lag(of: $0))", Self.parked($0)]
                    })
        }
        let partitions = status.consumers.flatMap { consumer in
            consumer.partitions.map { partition in
                [
                    "\(consumer.name)/\(partition.partition)", "\(partition.position)",
                    "\(status.lag(at: partition.position))", Self.owner(of: partition), Self.handling(partition),
                ]
            }
        }
        if !partitions.isEmpty {
            text += "\n"
            text += Self.table([["PARTITION", "POSITION", "LAG", "OWNER", "HANDLING"]] + partitions)
        }
        return text
    }

    /// How many events a consumer has parked, where it has any.
    static func parked(_ consumer: StreamStatus.ConsumerStatus) -> String {
        switch consumer.parked {
        case 0: ""
        case StreamStatus.ConsumerStatus.mostParked...: "\(StreamStatus.ConsumerStatus.mostParked) or more"
        default: "\(consumer.parked)"
        }
    }

    /// Who has a partition.
    static func owner(of partition: StreamStatus.PartitionStatus) -> String {
        if partition.owner == nil { return "nobody" }
        return partition.processID.map { "process \($0)" } ?? "a process that is gone"
    }

    private static func handling(_ partition: StreamStatus.PartitionStatus) -> String {
        partition.oldestHandler.map { "\($0), begun \(age(milliseconds: partition.handlerMilliseconds ?? 0))" } ?? ""
    }

    /// One word for what a writer does.
    func state(of writer: StreamStatus.WriterStatus) -> String {
        if !writer.isMember { return "left" }
        if writer.isProcessGone { return "gone" }
        if writer.isClosed { return "closed" }
        if .milliseconds(writer.heartbeatAgeMilliseconds) <= StreamStatus.silence { return "active" }
        return status.writeLockHolder == nil ? "silent" : "waiting"
    }

    /// What is only said where there is something to say.
    var moreRows: [[String]] {
        var rows: [[String]] = []
        if let holder = status.writeLockHolder { rows.append(["write lock held by", holder]) }
        rows += status.blockers.map { ["in the way", $0.description.onOneLine] }
        if let log = status.log, !log.keptBy.isEmpty {
            rows.append(["-wal", "\(log.bytes >> 20) MiB, kept by \(log.keptBy.joined(separator: ", "))"])
        }
        switch status.keyIndex {
        case .missing: break
        case .building(let id): rows.append(["index of keys", "from ID \(id) on; it is being built (tidemark index)"])
        case .complete: rows.append(["index of keys", "complete"])
        }
        if status.prunedThrough > 0 { rows.append(["pruned through", "\(status.prunedThrough)"]) }
        if status.leftCount > 0 { rows.append(["writers that left", "\(status.leftCount)"]) }
        return rows
    }

    private var logJSON: String {
        guard let log = status.log else { return "null" }
        return "{\"bytes\":\(log.bytes),\"kept_by\":[\(log.keptBy.map(JSONString.quoted).joined(separator: ","))]}"
    }

    private static func json(_ blocker: StreamStatus.Blocker) -> String {
        let holdsUp = StreamStatus.Blocker.Waiting.allCases.filter(blocker.holdsUp.contains)
        return "{\"instance\":\(json(blocker.instance?.rawValue))"
            + ",\"holds_up\":[\(holdsUp.map { "\"\($0.rawValue)\"" }.joined(separator: ","))]"
            + ",\"holder\":\(JSONString.quoted(blocker.holder))"
            + ",\"backend\":\(blocker.processID.map(String.init) ?? "null")"
            + ",\"prepared\":\(json(blocker.prepared))"
            + ",\"since_ms\":\(blocker.milliseconds.map(String.init) ?? "null"),\"waiting\":\(blocker.waiting)}"
    }

    private static func json(_ text: String?) -> String { text.map(JSONString.quoted) ?? "null" }

    /// How long ago, in the largest unit that tells something.
    static func age(milliseconds: Int64) -> String {
        switch milliseconds {
        case ..<10_000: "\(milliseconds) ms ago"
        case ..<600_000: "\(milliseconds / 1000) s ago"
        case ..<36_000_000: "\(milliseconds / 60_000) min ago"
        default: "\(milliseconds / 3_600_000) h ago"
        }
    }

    /// Rows with their columns aligned, two spaces apart.
    static func table(_ rows: [[String]]) -> String {
        var widths: [Int] = []
        for row in rows {
            for (column, text) in row.enumerated() {
                if column == widths.count { widths.append(0) }
                widths[column] = max(widths[column], text.count)
            }
        }
        return rows.map { row in
            let cells = row.enumerated().map { column, text in
                column == row.count - 1
                    ? text : text + String(repeating: " ", count: widths[column] - text.count)
            }
            let line = cells.joined(separator: "  ")
            return line.prefix(line.count - line.reversed().prefix { $0 == " " }.count) + "\n"
        }.joined()
    }

    var sortedWriters: [StreamStatus.WriterStatus] {
        status.writers.sorted { $0.writer.instance < $1.writer.instance }
    }

    private var heldBackJSON: String {
        guard let heldBack = status.heldBack() else { return "null" }
        let milliseconds = Int64(heldBack.since / .milliseconds(1))
        return "{\"instance\":\(JSONString.quoted(heldBack.instance.rawValue))"
            + ",\"reason\":\"\(heldBack.reason.name)\",\"since_ms\":\(milliseconds)}"
    }
}
