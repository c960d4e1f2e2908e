import Logging
import NIOCore
import Tidemark

extension SocketNode: PeerOwner {
    func peerIsGreeted(_ peer: PeerHandler) {
        switch role {
        case .seeking:
            break
        case .client(let server):
            guard server === peer else { return }
            meeting?.serverGreeted()
            linkIsUp()
        case .server:
            guard newcomers.remove(peer) else { return }
            clients[ObjectIdentifier(peer)] = peer
        }
    }

    func peer(_ peer: PeerHandler, sent command: ReplicationCommand, as line: ByteBuffer) {
        if case .server = role, clients.count > 1 {
            relayed.writeImmutableBuffer(line)
            relayed.writeInteger(UInt8(ascii: "\n"))
        }
        tellParticipants(.command(command))
    }

    func peerPaused(_ peer: PeerHandler) {
        if relayed.readableBytes == 0 { return }
        sendToClients(relayed, except: peer)
        relayed = ByteBuffer()
    }

    func peer(_ peer: PeerHandler, sentSkipped line: ByteBuffer, because reason: String) {
        counts.add(to: \.skippedLines)
        if !peer.hasSentSkippedLines {
            // Once a peer: one that speaks another protocol would fill the log.
            logger.warning(
                "lines of a peer are skipped",
                metadata: ["peer": "\(peer.name)", "reason": "\(reason.shown(atMost: 300))"])
            peer.hasSentSkippedLines = true
        }
    }

    func peer(_ peer: PeerHandler, complains text: String) {
        // Once a peer, as above: it may do so with every line.
        let level: Logger.Level = peer.hasReportedErrors ? .debug : .warning
        peer.hasReportedErrors = true
        logger.log(
            level: level, "a peer reports an error",
            metadata: ["peer": "\(peer.name)", "error": "\(text.shown(atMost: 300))"])
    }

    func peerIsTooSlow(_ peer: PeerHandler) {
        counts.add(to: \.slowPeers)
    }

    func peerIsGone(_ peer: PeerHandler, because problem: SocketProblem) {
        if isStopped { return }
        if newcomers.remove(peer) { return newcomerIsGone(because: problem) }
        var wasSilent = false
        if case .silent = problem { wasSilent = true }
        logger.debug("a connection ended", metadata: ["peer": "\(peer.name)", "reason": "\(problem)"])
        if clients.removeValue(forKey: ObjectIdentifier(peer)) != nil { return }
        guard case .client(let server) = role, server === peer else { return }
        if !isLinked { attemptFailed("\(problem)") }
        linkIsDown(because: problem)
        meeting?.serverLost(wasSilent: wasSilent)
    }

    /// Any program that can connect can cause this, as often as it likes, so it is logged once.
    private func newcomerIsGone(because problem: SocketProblem) {
        switch problem {
        case .noClientName, .crowdedOut, .silent, .lineTooLong, .failed: counts.add(to: \.unnamedPeers)
        default: return
        }
        let level: Logger.Level = hasLoggedUnnamedPeers ? .debug : .warning
        hasLoggedUnnamedPeers = true
        logger.log(
            level: level, "a client did not say who it is, and was disconnected", metadata: ["reason": "\(problem)"])
    }
}

/// The part that this process takes.
extension SocketNode {
    /// Sets a channel to the server up; the link is there once the server has said who it is.
    func addServer(on channel: any Channel) throws {
        let name = participants.values.map(\.name).min().flatMap { try? SimpleText(validating: $0.rawValue) }
        let server = PeerHandler(
            owner: self, side: .server(named: serverName.text), introduction: [.name(name ?? serverName), .replicate],
            configuration: configuration)
        try channel.pipeline.syncOperations.addHandler(server)
        counts.add(to: \.connectionAttempts)
        role = .client(server)
    }

    func addClient(on channel: any Channel) throws {
        guard case .server = role, !isStopped else { throw ChannelError.ioOnClosedChannel }
        let client = PeerHandler(
            owner: self, side: .client, introduction: [.server(serverName)], configuration: configuration)
        try channel.pipeline.syncOperations.addHandler(client)
        if let crowdedOut = newcomers.add(client, from: ClientOrigin(channel.remoteAddress)) {
            crowdedOut.close()
            newcomerIsGone(because: .crowdedOut(limit: configuration.unnamedPeers))
        }
    }

    /// From now on this process serves. False when it was stopped meanwhile.
    func serves(on channel: any Channel) -> Bool {
        if isStopped {
            channel.close(promise: nil)
            return false
        }
        role = .server(channel)
        logger.debug("serving the replication socket", metadata: ["address": "\(channel.localAddress, default: "-")"])
        let node = NIOLoopBound(self, eventLoop: loop)
        channel.closeFuture.assumeIsolated().whenComplete { _ in node.value.isClosed(channel) }
        return true
    }

    /// The listening socket failed while this process served.
    private func isClosed(_ channel: any Channel) {
        guard case .server(let own) = role, own === channel, !isStopped else { return }
        stepDown(because: "the listening socket failed")
        meeting?.listenerFailed()
    }

    func stepDown(because reason: String) {
        guard case .server(let channel) = role else { return }
        let problem = SocketProblem.servesNoLonger(problem: reason)
        // Before the channel is closed, which would lead here again.
        role = .seeking
        channel.close(promise: nil)
        logger.debug("no longer serving the replication socket", metadata: ["reason": "\(reason)"])
        for client in Array(clients.values) { client.leave(because: problem) }
        for newcomer in newcomers.removeAll() { newcomer.close() }
        clients = [:]
        linkIsDown(because: problem)
    }
}
