import Tidemark

/// What the page shows at one moment. It is sent as JSON; the page knows these names.
struct DashboardLook: Codable, Hashable, Sendable {
    struct Stream: Codable, Hashable, Sendable {
        let name: String
        let sequence: Int64
        let newest: Int64
        let minimum: Int64
        /// Who holds readers back, and why; nil where nobody does.
        let heldBackBy: String?
        /// The writer that does.
        let holder: String?
        /// What a person should look at.
        let problems: [String]
        let writers: [Writer]
        /// Members that are not among ``writers``, because they are too many.
        let moreWriters: Int
        let left: Int
        let consumers: [Consumer]
    }

    struct Writer: Codable, Hashable, Sendable {
        let name: String
        let epoch: Int
        let position: Int64
        let state: String
        let inFlight: Int
        let heartbeatAge: Int64
        let process: Int32?
    }

    struct Consumer: Codable, Hashable, Sendable {
        let name: String
        let position: Int64
        /// In events, and in milliseconds.
        let behind: Int64
        let behindFor: Int64
        let movedAgo: Int64?
        let isInUse: Bool
        let parked: Int
    }

    /// In milliseconds since 1970-01-01 UTC.
    let at: Int64
    let streams: [Stream]
    /// Why there is nothing to show; nil where there is.
    let problem: String?
}

extension DashboardLook.Stream {
    /// So many members are shown one by one; those with something to say first.
    static let maximumWriters = 256

    init(
        _ status: StreamStatus, problems: [String] = [], behindFor times: [ConsumerName: Duration] = [:]
    ) {
        let heldBack = status.heldBack()
        let members = status.writers.filter(\.isMember).map { (writer: $0, state: $0.state(in: status)) }
            .sorted { ($0.state.rank, $0.writer.writer.instance) < ($1.state.rank, $1.writer.writer.instance) }
        self.init(
            name: status.stream.rawValue, sequence: status.sequence.rawValue, newest: status.newestEvent.rawValue,
            minimum: status.minimumPersisted.rawValue, heldBackBy: heldBack.map { "\($0.reason)" },
            holder: heldBack?.instance.rawValue,
            problems: problems + status.blockers.map(\.description),
            writers: members.prefix(Self.maximumWriters).map { member in
                DashboardLook.Writer(
                    name: member.writer.writer.instance.rawValue, epoch: member.writer.writer.epoch,
                    position: member.writer.position.rawValue, state: member.state.rawValue,
                    inFlight: member.writer.inFlight, heartbeatAge: member.writer.heartbeatAgeMilliseconds,
                    process: member.writer.processID)
            }, moreWriters: max(0, members.count - Self.maximumWriters), left: status.leftCount,
            consumers: status.consumers.map { consumer in
                DashboardLook.Consumer(
                    name: consumer.name.rawValue, position: consumer.position.rawValue,
                    behind: max(0, status.newestEvent.rawValue - consumer.position.rawValue),
                    behindFor: Int64((times[consumer.name] ?? .zero) / .milliseconds(1)),
                    movedAgo: consumer.movedMillisecondsAgo, isInUse: consumer.isInUse, parked: consumer.parked)
            })
    }
}

/// One word for what a writer does, the worst first.
private enum WriterState: String {
    case gone, silent, waiting, closed, active

    var rank: Int {
        switch self {
        case .gone: 0
        case .silent: 1
        case .waiting: 2
        case .closed: 3
        case .active: 4
        }
    }
}

extension StreamStatus.WriterStatus {
    fileprivate func state(in status: StreamStatus) -> WriterState {
        if isProcessGone { return .gone }
        if isClosed { return .closed }
        if .milliseconds(heartbeatAgeMilliseconds) <= StreamStatus.silence { return .active }
        return status.writeLockHolder == nil ? .silent : .waiting
    }
}
