import TidemarkCore

/// Position tracking as writers and readers have it.
enum Trackers {
    static func writer(_ number: Int) -> Writer { Writer(InstanceName(stringLiteral: "writer-\(number)"), epoch: 1) }

    /// Of an instance that writes, beside others that are idle.
    static func writing(others: Int) -> PositionTracker {
        var members = members(others)
        members[Writer("p1", epoch: 1)] = 0
        return PositionTracker(instance: "p1", members: members, version: 1)
    }

    /// Of an instance that only reads.
    static func listening(to writers: Int) -> PositionTracker {
        PositionTracker(instance: "reader", members: members(writers), version: 1)
    }

    static func allocate(_ id: Int64, in tracker: inout PositionTracker) throws {
        let fetch = try tracker.beginFetch()
        try tracker.endFetch(
            fetch, with: [StreamID(id)], asked: 1, scope: Int(id), since: .zero, deadline: .seconds(3_600))
    }

    private static func members(_ count: Int) -> [Writer: StreamID] {
        Dictionary(uniqueKeysWithValues: (0..<count).map { (writer($0), 0) })
    }
}
