import Logging
import Synchronization

/// How a log takes part in the replication, which makes it fast and nothing else.
extension EventLog {
    func connect(_ transport: any ReplicationTransport) async throws {
        let connection = try await transport.connect(as: instance) { [weak self] event in self?.received(event) }
        self.connection.withLock { $0 = connection }
        guard membership.isRunning else {
            // It was shut down in the meantime, and has not found this connection perhaps.
            if let connection = self.connection.withLock({ $0.take() }) { await connection.close() }
            return
        }
        tellCaughtUp()
        startAnnouncing()
    }

    /// Goes on through the database alone, and tries to connect with growing delays, for as long as the log lives.
    func connectLater(_ transport: any ReplicationTransport, _ error: any Error) {
        logger.warning(
            "replication cannot start: this log goes on through the database alone, which is slower; trying again",
            metadata: ["error": "\(error)"])
        let task = Task { [weak self, time] in
            var backoff = Backoff(shortest: .milliseconds(500), longest: .seconds(60))
            while true {
                let delay = backoff.nextDelay(random: .random(in: 0..<1))
                do { try await time.sleep(for: delay) } catch { return }
                guard let self else { return }
                do {
                    try await self.connect(transport)
                    self.logger.notice("replication has started")
                    return
                } catch {
                    self.logger.debug("replication cannot start", metadata: ["error": "\(error)"])
                }
            }
        }
        connecting.withLock { $0 = task }
    }

    /// The writer speaks, if it has joined and there is a connection.
    func startAnnouncing() {
        guard membership.isRunning, let joined = joined.withLock({ $0 }), let connection = connection.withLock({ $0 })
        else { return }
        announcer.start(as: Speaker(joined.writer, nonce: joined.nonce), at: joined.position, over: connection)
    }
}
