import Logging
import Synchronization
import Tidemark

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
