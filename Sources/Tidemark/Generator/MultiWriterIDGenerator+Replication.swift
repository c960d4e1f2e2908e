import Logging
import Synchronization

/// How a generator takes part in the replication, which makes it fast and nothing else.
extension MultiWriterIDGenerator {
    /// Announces over this transport from now on, and hears the other writers, until ``disconnect()``. The connection holds
    /// the generator until then.
    ///
    /// - Throws: what the transport throws.
    public func connect(over transport: any ReplicationTransport) async throws {
        changeNow {
            $0.connecting(
                listensFirst: transport.listensFirst, belongsToDatabase: transport.belongsToDatabase, now: $1)
        }
        let connection = try await transport.connect(as: instance) { self.received($0) }
        let (isOver, former) = state.withLock { state in
            if state.machine.isStopped { return (true, Optional(connection)) }
            defer { state.connection = connection }
            return (false, state.connection)
        }
        await former?.close()
        if isOver { return }
        changeNow { $0.attached(now: $1) }
    }

    /// Says and hears nothing any more.
    public func disconnect() async {
        let connection = state.withLock { state in
            state.machine.detached()
            return state.connection.take()
        }
        await connection?.close()
    }

    /// Called from the transport's thread: takes what is said at once, and leaves the database to others.
    func received(_ event: ReplicationEvent) {
        switch event {
        case .connected:
            changeNow { $0.connected(now: $1) }
        case .disconnected(let reason):
            state.withLock { $0.machine.disconnected() }
            logger.debug("replication is disconnected", metadata: ["reason": "\(reason)"])
        case .command(.replicate):
            changeNow { $0.isAsked(now: $1) }
        case .command(.position(let position)) where position.writer.epoch == 0:
            changeNow { $0.heardOtherSoftware(position.stream, position.writer, now: $1) }
        case .command(.rdata(let row)) where row.writer.epoch == 0:
            changeNow { $0.heardOtherSoftware(row.stream, row.writer, now: $1) }
        case .command(.position(let position)) where position.stream == stream:
            changeNow { $0.received(counted(position.heard), now: $1) }
        case .command(.rdata(let row)) where row.stream == stream:
            guard let heard = row.heard else { return }
            changeNow { $0.received(HeardRow(heard.speaker, id: direction.counted(heard.id)), now: $1) }
        case .command(.checkpoint(let said)) where said.stream == stream:
            checkpoints.isSaid(said.consumer, at: said.position)
        case .command:
            break
        }
    }

    /// A consumer's checkpoint has moved, durably: those who wait for it, here and elsewhere, ask the database now.
    func announceCheckpoint(of consumer: ConsumerName, at position: StreamID) {
        checkpoints.isSaid(consumer, at: position)
        let connection = state.withLock { $0.machine.maySpeak ? $0.connection : nil }
        connection?.send([
            .checkpoint(ReplicationCheckpoint(stream: stream, consumer: consumer, position: position))
        ])
    }

    private func counted(_ heard: HeardPosition) -> HeardPosition {
        if direction == .forward { return heard }
        return HeardPosition(
            heard.speaker, previous: direction.counted(heard.previous), new: direction.counted(heard.new))
    }

    /// What the machine says, as a command.
    func command(_ message: StreamMessage) -> ReplicationCommand {
        switch message {
        case .question: .replicate
        case .position(let speaker, let previous, let new):
            .position(
                ReplicationPosition(
                    stream: stream, writer: speaker.writer, nonce: speaker.nonce, previous: outward(previous),
                    new: outward(new)))
        case .event(let speaker, let id, let eventID):
            row(of: speaker, id, eventID.map { .array(of: $0) } ?? .emptyArray)
        case .tombstone(let speaker, let id):
            row(of: speaker, id, .null)
        }
    }

    private func row(of speaker: Speaker, _ id: StreamID, _ row: JSONText) -> ReplicationCommand {
        .rdata(
            ReplicationRow(
                stream: stream, writer: speaker.writer, nonce: speaker.nonce, token: .id(outward(id)), row: row))
    }

    // MARK: What a person should know

    func tellReports() {
        for report in state.withLock({ $0.machine.takeReports() }) { tell(report) }
    }

    private func tell(_ report: StreamMachine.Report) {
        switch report {
        case .scopeExpired(let ids):
            logger.warning(
                "a scope ran over its time limit", metadata: ["ids": "\(ids.count) from \(outward(ids[0]))"])
        case .closed(let ids):
            logger.notice(
                "IDs in flight were closed", metadata: ["count": "\(ids.count)", "lowest": "\(outward(ids[0]))"])
        case .falseNews(let news, let isSaid):
            log?.metrics.heardFalsely(news.writers.count)
            guard isSaid else { return }
            logger.warning(
                "what was heard is above the sequence, and cannot be true: it counts for nothing",
                metadata: [
                    "said_by": "\(news.writers.map(\.description).sorted().joined(separator: ", "))",
                    "heard": "\(news.heard)", "sequence": "\(news.sequence)",
                ])
        case .foreign(let speaker, let isFirst):
            log?.metrics.heardForeign()
            guard isFirst else { return }
            logger.warning(
                """
                a writer of another database speaks on this channel: it is not heard; give each database a channel of its \
                own
                """,
                metadata: ["said_by": "\(speaker)"])
        case .fellSilent(let stream, let writer):
            logger.warning(
                """
                other software announces streams on this channel: this log does not speak there, and what it writes is \
                read through the database, which is slower; give it a channel of its own
                """,
                metadata: ["announced": "\(stream)", "said_by": "\(writer)"])
        case .strangeLine(let stream, let writer):
            logger.warning(
                "streams are announced without an epoch on the database's own channel: that counts for nothing",
                metadata: ["announced": "\(stream)", "said_by": "\(writer)"])
        case .speaksAgain:
            logger.notice("no other software is heard on this channel any more: this log speaks there again")
        }
    }
}
