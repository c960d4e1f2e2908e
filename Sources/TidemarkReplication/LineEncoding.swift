import NIOCore
import TidemarkCore

/// Turns commands into the lines that are sent, none of them longer than a limit.
///
/// A row that would make too long a line is left out, with all other rows of its ID that are in the same call: half an
/// event helps nobody. Nothing is sent in its place, because a transport cannot make promises for a writer: that an
/// event of ID 25 is too long for a line does not say that 24 is finished. Receivers find the ID in the database.
struct LineEncoding {
    let limit: Int

    /// Appends a line for each command; returns how many were left out.
    func append(_ commands: [ReplicationCommand], to buffer: inout ByteBuffer) -> Int {
        var lines: [UInt8] = []
        lines.reserveCapacity(commands.count * 64)
        var leftOut: Set<Int> = []
        for (index, command) in commands.enumerated() where !append(command, to: &lines) {
            leftOut.insert(index)
        }
        if !leftOut.isEmpty {
            // Rare, and so done again from the start: rows before a long one may be of the same ID.
            for index in leftOut { leftOut.formUnion(Self.rowsOfSameID(as: index, in: commands)) }
            lines.removeAll()
            for (index, command) in commands.enumerated() where !leftOut.contains(index) {
                _ = append(command, to: &lines)
            }
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

    private static func rowsOfSameID(as index: Int, in commands: [ReplicationCommand]) -> [Int] {
        guard case .rdata(let long) = commands[index] else { return [] }
        /// The rows that this writer wrote to this stream; the last one of an ID is the one that carries it.
        let rows = commands.enumerated().compactMap { index, command -> (index: Int, isLast: Bool)? in
            guard case .rdata(let row) = command, row.stream == long.stream, row.writer == long.writer else {
                return nil
            }
            return (index, row.token != .batch)
        }
        let before = rows.prefix { $0.index < index }.reversed().prefix { !$0.isLast }.map(\.index)
        let after = rows.drop { $0.index < index }
        let last = after.firstIndex { $0.isLast } ?? after.endIndex - 1
        return before + after[...last].map(\.index)
    }
}
