import Synchronization
import Tidemark

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
