import Synchronization
import Tidemark

/// One instance's end of a ``UnixSocketTransport``.
final class UnixSocketConnection: ReplicationConnection {
    private let id: Int
    private let link: SocketLink
    private let transport: UnixSocketTransport
    private let isClosed = Atomic(false)

    init(id: Int, link: SocketLink, transport: UnixSocketTransport) {
        self.id = id
        self.link = link
        self.transport = transport
    }

    func send(_ commands: [ReplicationCommand]) {
        if commands.isEmpty || isClosed.load(ordering: .acquiring) { return }
        link.send(commands, from: id)
    }

    func close() async {
        let wasClosed = isClosed.exchange(true, ordering: .acquiringAndReleasing)
        if !wasClosed { await transport.close(id, on: link) }
    }
}
