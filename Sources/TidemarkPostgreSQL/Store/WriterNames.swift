import Synchronization
import Tidemark

/// The names of writers by the number that rows have of them. A number never gets another name.
final class WriterNames: Sendable {
    /// When there are more, all are looked up again: processes may have names of their own each time.
    private static let limit = 10_000

    private let known = Mutex<[Int64: InstanceName]>([:])

    /// The names of these, of which unknown ones are looked up.
    func names(of writers: Set<Int64>, _ session: PostgresSession, _ namespace: PostgresNamespace) throws
        -> [Int64: InstanceName]
    {
        var found = known.withLock { known in known.filter { writers.contains($0.key) } }
        let missing = writers.subtracting(found.keys)
        if missing.isEmpty { return found }
        let rows = try session.query(
            """
            SELECT i.writer, i.instance FROM \(namespace.quoted).instances i WHERE i.writer = ANY ($1)
            UNION ALL
            SELECT f.writer, f.instance FROM \(namespace.quoted).former_instances f WHERE f.writer = ANY ($1)
            """, [.int64s(Array(missing))])
        for row in 0..<rows.count {
            found[try rows.int64(row, 0)] = try InstanceName(validating: try rows.text(row, 1))
        }
        known.withLock { known in
            if known.count + missing.count > Self.limit { known = [:] }
            known.merge(found) { $1 }
        }
        return found
    }
}
