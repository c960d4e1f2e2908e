import Logging
import NIOCore
import NIOPosix
import Tidemark

/// How the node connects and takes over. The system calls are made on the event loop: none of them waits for another
/// process.
extension SocketNode {
    func perform(_ action: Election.Action) {
        if isStopped { return }
        switch action {
        case .nothing:
            break
        case .connect(let silent):
            attempting { try connect(avoiding: silent) }
        case .takeOver(let replaced, let ignoringLock):
            attempting { try takeOver(replacing: replaced, ignoringLock: ignoringLock) }
        case .wait(let delay):
            schedule(after: delay) { [self] in perform(election.waited()) }
        case .stepDown(let delay):
            stepDown(because: "another process serves the socket now")
            schedule(after: delay) { [self] in perform(election.waited()) }
        }
    }

    private func attempting(_ body: () throws -> Void) {
        do {
            try body()
        } catch {
            failed(error)
        }
    }

    private func failed(_ error: any Error) {
        if isStopped { return }
        let reason = "\(error)"
        if reason != loggedFailure {
            logger.warning("replication over the socket does not work", metadata: ["reason": "\(reason)"])
            loggedFailure = reason
        }
        perform(election.failed(now: .now()))
    }

    // MARK: As a client

    private func connect(avoiding silent: SocketIdentity?) throws(SocketFolderError) {
        let folder = try SocketFolder(path: path)
        let found = folder.identity(ofName: SocketFolder.socketName)
        guard let found, found != silent, let descriptor = try folder.connectedSocket() else {
            return perform(election.nobodyServes(at: found, now: .now()))
        }
        let node = NIOLoopBound(self, eventLoop: loop)
        ClientBootstrap(group: loop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try node.value.addServer(on: channel, socket: found) }
            }
            .withConnectedSocket(descriptor)
            .assumeIsolated()
            .whenFailure { error in
                // The handler, once it is there, tells of a failure in its own way, and only once.
                if case .client(let server, _) = node.value.role {
                    server.failed(error)
                } else {
                    node.value.failed(error)
                }
            }
    }

    private func addServer(on channel: any Channel, socket: SocketIdentity) throws {
        let name = participants.values.map(\.name).min().flatMap { try? SimpleText(validating: $0.rawValue) }
        let server = PeerHandler(
            owner: self, side: .server(named: Self.serverName.text),
            introduction: [.name(name ?? Self.serverName), .replicate], configuration: configuration)
        try channel.pipeline.syncOperations.addHandler(server)
        role = .client(server, socket: socket)
    }

    // MARK: As the server

    private func takeOver(replacing replaced: SocketIdentity?, ignoringLock: Bool) throws(SocketFolderError) {
        switch try SocketFolder(path: path).takeOver(replacing: replaced, ignoringLock: ignoringLock) {
        case .lockIsHeld:
            perform(election.lockIsHeld(now: .now()))
        case .replacedMeanwhile:
            perform(election.replacedMeanwhile())
        case .serving(let descriptor, let identity):
            let node = NIOLoopBound(self, eventLoop: loop)
            ServerBootstrap(group: loop)
                .childChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture { try node.value.addClient(on: channel) }
                }
                .withBoundSocket(descriptor)
                .assumeIsolated()
                .whenComplete { result in
                    switch result {
                    case .success(let channel): node.value.serves(on: channel, as: identity)
                    case .failure(let error): node.value.failed(error)
                    }
                }
        }
    }

    private func serves(on channel: any Channel, as identity: SocketIdentity) {
        if isStopped { return channel.close(promise: nil) }
        role = .server(channel)
        election.tookOver(as: identity, now: .now())
        logger.debug("serving the replication socket", metadata: ["folder": "\(path)"])
        let node = NIOLoopBound(self, eventLoop: loop)
        channel.closeFuture.assumeIsolated().whenComplete { _ in node.value.isClosed(channel) }
        linkIsUp()
        lookAfterOwnSocket()
    }

    private func addClient(on channel: any Channel) throws {
        guard case .server = role, !isStopped else { throw ChannelError.ioOnClosedChannel }
        let client = PeerHandler(
            owner: self, side: .client, introduction: [.server(Self.serverName)], configuration: configuration)
        try channel.pipeline.syncOperations.addHandler(client)
        clients[ObjectIdentifier(client)] = client
    }

    /// A server that was stopped for a while finds here that another has taken its place.
    private func lookAfterOwnSocket() {
        schedule(after: TimeAmount(configuration.pingInterval)) { [self] in
            let found = SocketFolder.socketIdentity(inFolder: path)
            let action = election.looked(found: found, now: .now())
            if action == .nothing { lookAfterOwnSocket() } else { perform(action) }
        }
    }

    /// The listening socket failed while this process served.
    private func isClosed(_ channel: any Channel) {
        guard case .server(let own) = role, own === channel, !isStopped else { return }
        stepDown(because: "the listening socket failed")
        perform(election.failed(now: .now()))
    }

    private func stepDown(because reason: String) {
        guard case .server(let channel) = role else { return }
        // Before the channel is closed, which would lead here again.
        role = .seeking
        channel.close(promise: nil)
        logger.info("no longer serving the replication socket", metadata: ["reason": "\(reason)"])
        for client in Array(clients.values) { client.leave(reason: reason) }
        clients = [:]
        linkIsDown(reason: reason)
    }
}
