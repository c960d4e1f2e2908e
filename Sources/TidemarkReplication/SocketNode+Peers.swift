import Logging
import NIOCore
import Tidemark

extension SocketNode: PeerOwner {
    func peerIsGreeted(_ peer: PeerHandler) {
        guard case .client(let server, let socket) = role, server === peer else { return }
        election.greeted(by: socket, now: .now())
        linkIsUp()
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
                "lines of a peer are skipped", metadata: ["peer": "\(peer.name)", "reason": "\(reason)"])
            peer.hasSentSkippedLines = true
        }
    }

    func peer(_ peer: PeerHandler, complains text: String) {
        logger.warning("a peer reports an error", metadata: ["peer": "\(peer.name)", "error": "\(text)"])
    }

    func peerIsTooSlow(_ peer: PeerHandler) {
        counts.add(to: \.slowPeers)
    }

    func peerIsGone(_ peer: PeerHandler, reason: String, wasSilent: Bool) {
        if isStopped { return }
        let level: Logger.Level = wasSilent ? .info : .debug
        logger.log(level: level, "a connection ended", metadata: ["peer": "\(peer.name)", "reason": "\(reason)"])
        if clients.removeValue(forKey: ObjectIdentifier(peer)) != nil { return }
        guard case .client(let server, let socket) = role, server === peer else { return }
        linkIsDown(reason: reason)
        perform(election.lostServer(at: socket, wasSilent: wasSilent, now: .now()))
    }
}
