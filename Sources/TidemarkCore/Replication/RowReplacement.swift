extension [ReplicationCommand] {
    /// These commands without those at `leftOut`. Where that takes the rows of an ID, a position comes in their place
    /// that has receivers fetch them: its previous token is the ID, above what anybody has heard of the writer, and its
    /// new one promises nothing.
    ///
    /// A transport cannot promise more in a writer's place: that an event of ID 25 is too long for a line does not say
    /// that 24 is finished. Software that takes only positions ahead of what it has goes by the writer's own next one,
    /// whose previous token is not below the ID either.
    package func replacingRows(_ leftOut: Set<Int>) -> [ReplicationCommand] {
        indices.compactMap { index in
            guard leftOut.contains(index) else { return self[index] }
            guard case .rdata(let row) = self[index], case .id(let id) = row.token else { return nil }
            return .position(.inPlaceOfRows(of: row.speaker, in: row.stream, through: id))
        }
    }
}
