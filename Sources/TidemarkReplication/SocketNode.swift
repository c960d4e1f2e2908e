import Logging
import NIOCore
import NIOPosix
import Tidemark

/// This process's part in the exchange: carries out what ``Election`` decides, and passes commands on.
///
/// Everything in it happens on one event loop.
final class SocketNode {
    /// What every server calls itself, and every client expects.
    static let serverName: SimpleText = {
        do {
            return try SimpleText(validating: "tidemark")
        } catch {
            preconditionFailure("a word is a text without line breaks: \(error)")
        }
    }()

    enum Role {
        /// Neither connected nor serving, or not yet.
        case seeking
        case client(PeerHandler, socket: SocketIdentity?)
        case server(any Channel)
    }

    struct Participant {
        let name: InstanceName
        let receive: @Sendable (ReplicationEvent) -> Void
    }

    let path: String
    let loop: any EventLoop
    let configuration: UnixSocketConfiguration
    let logger: Logger
    let outbox: Outbox
    let counts: SharedCounts
    let encoding: LineEncoding

    var election: Election
    var role = Role.seeking
    /// The clients, while this process serves.
    var clients: [ObjectIdentifier: PeerHandler] = [:]
    var participants: [Int: Participant] = [:]
    /// Lines of the peer that is being read, for the others; sent when what it sent together has been read.
    var relayed = ByteBuffer()
    var hasStarted = false
    var isLinked = false
    var isStopped = false
    var timer: Scheduled<Void>?
    /// The last failure that was logged: one that repeats with every attempt is logged once.
    var loggedFailure: String?

    init(
        path: String, loop: any EventLoop, configuration: UnixSocketConfiguration, logger: Logger, outbox: Outbox,
        counts: SharedCounts
    ) {
        self.path = path
        self.loop = loop
        self.configuration = configuration
        self.logger = logger
        self.outbox = outbox
        self.counts = counts
        encoding = LineEncoding(limit: configuration.lineLimit)
        election = Election(seed: .random(in: .min ... .max))
    }

    // MARK: Participants of this process

    func add(_ participant: Participant, as id: Int) {
        participants[id] = participant
        if !hasStarted {
            hasStarted = true
            perform(election.waited())
        } else if isLinked {
            participant.receive(.connected)
            // The others do not know that somebody new listens here.
            pass([.replicate], from: id)
        }
    }

    func remove(_ id: Int) {
        participants[id] = nil
    }

    /// Passes on what participants have sent since the last time.
    func drain() {
        if isStopped { return }
        for entry in outbox.takeAll() { pass(entry.commands, from: entry.sender) }
    }

    private func pass(_ commands: [ReplicationCommand], from sender: Int) {
        // The other processes first: theirs is the longer way.
        switch role {
        case .client(let server, _) where isLinked: server.send(lines(of: commands))
        case .server where !clients.isEmpty: sendToClients(lines(of: commands))
        default: break
        }
        for (id, participant) in participants where id != sender {
            for command in commands { participant.receive(.command(command)) }
        }
    }

    private func lines(of commands: [ReplicationCommand]) -> ByteBuffer {
        var lines = ByteBuffer()
        let leftOut = encoding.append(commands, to: &lines)
        if leftOut > 0 {
            counts.add(leftOut, to: \.leftOutCommands)
            logger.warning("commands left out: their lines are too long", metadata: ["count": "\(leftOut)"])
        }
        return lines
    }

    func sendToClients(_ lines: ByteBuffer, except sender: PeerHandler? = nil) {
        // A copy: a client that reads too slowly leaves the table meanwhile.
        for client in Array(clients.values) where client !== sender { client.send(lines) }
    }

    func tellParticipants(_ event: ReplicationEvent) {
        for participant in participants.values { participant.receive(event) }
    }

    // MARK: The link

    func linkIsUp() {
        isLinked = true
        loggedFailure = nil
        tellParticipants(.connected)
    }

    func linkIsDown(reason: String) {
        role = .seeking
        if !isLinked { return }
        isLinked = false
        tellParticipants(.disconnected(reason: reason))
    }

    func schedule(after delay: TimeAmount, _ body: @escaping () -> Void) {
        timer?.cancel()
        timer = loop.assumeIsolated().scheduleTask(in: delay, body)
    }

    /// Ends everything, without a word: the other processes see their connections close.
    func stop() {
        isStopped = true
        timer?.cancel()
        participants = [:]
        switch role {
        case .seeking: break
        case .client(let server, _): server.close()
        case .server(let channel): channel.close(promise: nil)
        }
        for client in clients.values { client.close() }
        clients = [:]
    }
}
