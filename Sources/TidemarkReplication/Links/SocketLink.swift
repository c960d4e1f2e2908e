import Logging
import NIOCore
import NIOPosix
import Synchronization
import Tidemark
import TidemarkCore

/// The thread of a transport and the node that lives on it, as seen from other threads.
final class SocketLink: Sendable {
    private let group: MultiThreadedEventLoopGroup
    private let loop: any EventLoop
    private let node: NIOLoopBoundBox<SocketNode>
    private let sendBuffer: SendBuffer
    private let counts: SharedCounts

    /// - Parameter meeting: called once, for the node.
    init(
        configuration: SocketConfiguration, serverName: SimpleText, logger: Logger, counts: SharedCounts,
        meeting: @Sendable (SocketNode) -> any Meeting
    ) {
        group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        loop = group.next()
        sendBuffer = SendBuffer(limit: configuration.unsentLimit)
        self.counts = counts
        node = NIOLoopBoundBox.makeBoxSendingValue(
            SocketNode(
                loop: loop, configuration: configuration, serverName: serverName, logger: logger,
                sendBuffer: sendBuffer,
                counts: counts, meeting: meeting),
            eventLoop: loop)
    }

    func add(_ participant: SocketNode.Participant, as id: Int) async {
        await onLoop { $0.add(participant, as: id) }
    }

    func remove(_ id: Int) async {
        await onLoop { $0.remove(id) }
    }

    func send(_ commands: [ReplicationCommand], from id: Int) {
        switch sendBuffer.append(commands, from: id) {
        case .wake: loop.execute { [node] in node.value.drain() }
        case .accepted: break
        case .full(let wakes):
            counts.add(commands.count, to: \.droppedCommands)
            if wakes { loop.execute { [node] in node.value.drain() } }
        }
    }

    /// The participant of that connection has caught up with every stream.
    func caughtUp(_ id: Int) {
        loop.execute { [node] in node.value.caughtUp(id) }
    }

    /// The port that this process serves over TCP.
    var servedPort: Int? {
        get async {
            await withCheckedContinuation { continuation in
                loop.execute { [node] in continuation.resume(returning: node.value.meeting?.servedPort) }
            }
        }
    }

    /// Ends the link; nothing can be done with it afterwards.
    func stop() async {
        await onLoop { $0.stop() }
        // Fails only for a group that was shut down before, and this one is nobody else's.
        try? await group.shutdownGracefully()
    }

    private func onLoop(_ body: @escaping @Sendable (SocketNode) -> Void) async {
        await withCheckedContinuation { continuation in
            loop.execute { [node] in
                body(node.value)
                continuation.resume()
            }
        }
    }
}

/// One instance's end of a transport over sockets.
final class SocketConnection: ReplicationConnection {
    private let id: Int
    private let link: SocketLink
    private let owner: SharedLink
    private let isClosed = Atomic(false)

    init(id: Int, link: SocketLink, owner: SharedLink) {
        self.id = id
        self.link = link
        self.owner = owner
    }

    func send(_ commands: [ReplicationCommand]) {
        if commands.isEmpty || isClosed.load(ordering: .acquiring) { return }
        link.send(commands, from: id)
    }

    func caughtUp() { link.caughtUp(id) }

    func close() async {
        let wasClosed = isClosed.exchange(true, ordering: .acquiringAndReleasing)
        if !wasClosed { await owner.close(id, on: link) }
    }
}

/// The one link that all connections of a transport share: there from the first of them until the last one is closed.
final class SharedLink: Sendable {
    private struct State {
        var link: SocketLink?
        var connections = 0
        var lastConnection = 0
    }

    let counts = SharedCounts()
    private let makeLink: @Sendable (SharedCounts) -> SocketLink
    private let state = Mutex(State())

    init(_ makeLink: @escaping @Sendable (SharedCounts) -> SocketLink) {
        self.makeLink = makeLink
    }

    var current: SocketLink? { state.withLock { $0.link } }

    func connect(
        as name: InstanceName, receive: @escaping @Sendable (ReplicationEvent) -> Void
    ) async -> any ReplicationConnection {
        let (link, id) = state.withLock { state in
            let link = state.link ?? makeLink(counts)
            state.link = link
            state.connections += 1
            state.lastConnection += 1
            return (link, state.lastConnection)
        }
        await link.add(SocketNode.Participant(name: name, receive: receive), as: id)
        return SocketConnection(id: id, link: link, owner: self)
    }

    func close(_ id: Int, on link: SocketLink) async {
        await link.remove(id)
        let isLast = state.withLock { state in
            state.connections -= 1
            if state.connections == 0 { state.link = nil }
            return state.connections == 0
        }
        if isLast { await link.stop() }
    }
}

/// How long to wait before the next attempt to make a link.
///
/// The delays grow with each failure, with jitter, to a limit. That a socket opened does not end a series of failures:
/// it ends where everyone of this process has caught up with every stream over the link, and the link has then lasted
/// for another ``healthyAfter``. So a link that fails during set-up, while catching up or just after that never becomes
/// a tight loop.
struct LinkBackoff {
    static let healthyAfter = TimeAmount.seconds(1)

    private var delays: Backoff
    private var caughtUpAt: NIODeadline?

    init(_ delays: Backoff) { self.delays = delays }

    mutating func linkCameUp() { caughtUpAt = nil }

    mutating func caughtUp(at now: NIODeadline) { caughtUpAt = caughtUpAt ?? now }

    /// The delay after a failure, or after the loss of a link.
    mutating func next(at now: NIODeadline, using random: inout some RandomNumberGenerator) -> TimeAmount {
        if let caughtUpAt, now - caughtUpAt >= Self.healthyAfter { delays.reset() }
        caughtUpAt = nil
        return TimeAmount(delays.nextDelay(random: Double.random(in: 0..<1, using: &random)))
    }
}
