import Logging
import NIOCore
import NIOPosix
import Synchronization
import Tidemark

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
