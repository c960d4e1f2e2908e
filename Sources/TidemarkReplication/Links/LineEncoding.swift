import NIOCore
import TidemarkCore
import TidemarkWire

/// Turns commands into the lines that are sent, none of them longer than a limit.
///
/// A row that would make too long a line is left out, with all other rows of its ID that are in the same call: half an
/// event helps nobody. A position in their place has receivers fetch them.
struct LineEncoding {
    let limit: Int

    /// Appends a line for each command; returns how many were left out.
    func append(_ commands: [ReplicationCommand], to buffer: inout ByteBuffer) -> Int {
        var lines: [UInt8] = []
        lines.reserveCapacity(commands.count * 64)
        var tooLong: [Int] = []
        for (index, command) in commands.enumerated() where !append(command, to: &lines) {
            tooLong.append(index)
        }
        let leftOut = commands.leftOut(tooLong: tooLong)
        if !leftOut.isEmpty {
            // Rare, and so done again from the start: rows before a long one may be of the same ID.
            lines.removeAll()
            for command in commands.replacingRows(leftOut) { _ = append(command, to: &lines) }
        }
        buffer.writeBytes(lines)
        return leftOut.count
    }

    private func append(_ command: ReplicationCommand, to lines: inout [UInt8]) -> Bool {
        let start = lines.count
        command.append(to: &lines)
        if lines.count - start > limit {
            lines.removeSubrange(start...)
            return false
        }
        lines.append(UInt8(ascii: "\n"))
        return true
    }
}
