import Tidemark

/// Turns commands into what NOTIFY carries: whole lines joined by newlines, in ASCII alone, because each database has an
/// encoding of its own.
///
/// A row that is too long is left out with the other rows of its ID, and a position in their place has receivers fetch them.
enum NotificationEncoding {
    /// The longest that the server takes, in bytes.
    static let payloadLimit = 7_999

    /// - Parameter calls: what was sent together: the rows of one ID are in one of them.
    static func payloads(of calls: [[ReplicationCommand]]) -> (payloads: [String], leftOut: Int) {
        var payloads: [String] = []
        var payload: [UInt8] = []
        payload.reserveCapacity(payloadLimit)
        var leftOut = 0
        for call in calls {
            let (lines, missing) = lines(of: call)
            leftOut += missing
            for line in lines {
                if payload.count + 1 + line.count > payloadLimit {
                    payloads.append(String(decoding: payload, as: UTF8.self))
                    payload.removeAll(keepingCapacity: true)
                }
                if !payload.isEmpty { payload.append(UInt8(ascii: "\n")) }
                payload += line
            }
        }
        if !payload.isEmpty { payloads.append(String(decoding: payload, as: UTF8.self)) }
        return (payloads, leftOut)
    }

    private static func lines(of commands: [ReplicationCommand]) -> (lines: [[UInt8]], leftOut: Int) {
        let lines = commands.map(line(of:))
        let leftOut = commands.leftOut(tooLong: lines.indices.filter { lines[$0] == nil })
        if leftOut.isEmpty { return (lines.compactMap { $0 }, 0) }
        return (commands.replacingRows(leftOut).compactMap(line(of:)), leftOut.count)
    }

    private static func line(of command: ReplicationCommand) -> [UInt8]? {
        guard command.kind.mayBeSent(by: .publisher) else { return nil }
        var line: [UInt8] = []
        line.reserveCapacity(96)
        command.append(to: &line)
        if line.contains(where: { $0 >= 0x80 || $0 == 0 }) {
            // Only the JSON of a row has other characters than ASCII, and only in its strings.
            guard case .rdata = command, !line.contains(0) else { return nil }
            line = escaped(line)
        }
        return line.count > payloadLimit ? nil : line
    }

    /// Characters beyond ASCII as JSON escapes them: in UTF-16.
    private static func escaped(_ line: [UInt8]) -> [UInt8] {
        var escaped: [UInt8] = []
        for unit in String(decoding: line, as: UTF8.self).utf16 {
            if unit < 0x80 {
                escaped.append(UInt8(unit))
            } else {
                let digits = String(unit, radix: 16)
                escaped += "\\u\(String(repeating: "0", count: 4 - digits.count))\(digits)".utf8
            }
        }
        return escaped
    }
}
