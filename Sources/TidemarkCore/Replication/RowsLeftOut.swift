extension [ReplicationCommand] {
    /// The commands that are left out when those at `tooLong` cannot be sent: these, and all other rows here of the same
    /// IDs. Half an event helps nobody.
    package func leftOut(tooLong: some Sequence<Int>) -> Set<Int> {
        tooLong.reduce(into: []) { leftOut, index in
            leftOut.insert(index)
            leftOut.formUnion(rowsOfSameID(as: index))
        }
    }

    private func rowsOfSameID(as index: Int) -> [Int] {
        guard case .rdata(let long) = self[index] else { return [] }
        /// The rows that this writer wrote to this stream; the last one of an ID is the one that carries it.
        let rows = enumerated().compactMap { index, command -> (index: Int, isLast: Bool)? in
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
