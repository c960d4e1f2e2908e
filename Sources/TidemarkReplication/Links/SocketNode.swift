import Logging
import NIOCore
import NIOPosix
import Tidemark

/// This process's part in the exchange: takes the part that its ``Meeting`` finds for it, and passes commands on.
///
/// Everything in it happens on one event loop.
final class SocketNode {
    enum Role {
        /// Neither connected nor serving, or not yet.
        case seeking
        case client(PeerHandler)
        case server(any Channel)
    }

    struct Participant {
        let name: InstanceName
        let receive: @Sendable (ReplicationEvent) -> Void
        /// Whether it has caught up over this link.
        var hasCaughtUp = false

        init(name: InstanceName, receive: @escaping @Sendable (ReplicationEvent) -> Void) {
            self.name = name
            self.receive = receive
        }
    }

    let loop: any EventLoop
    let configuration: SocketConfiguration
    /// What the server calls itself, and its clients expect.
    let serverName: SimpleText
    let logger: Logger
    let sendBuffer: SendBuffer
    let counts: SharedCounts
    let encoding: LineEncoding

    private(set) var meeting: (any Meeting)?
    var role = Role.seeking
    /// The clients that have said who they are, while this process serves: those who hear and speak.
    var clients: [ObjectIdentifier: PeerHandler] = [:]
    /// Those that have not yet.
    var newcomers: Newcomers<PeerHandler>
    var participants: [Int: Participant] = [:]
    /// Lines of the peer that is being read, for the others; sent when what it sent together has been read.
    var relayed = ByteBuffer()
    var hasStarted = false
    var isLinked = false
    var isStopped = false
    /// Whether the log says already that clients do not say who they are.
    var hasLoggedUnnamedPeers = false
    var timer: Scheduled<Void>?
    /// The last failure that was logged: one that repeats with every attempt is logged once.
    var loggedFailure: String?

    init(
        loop: any EventLoop, configuration: SocketConfiguration, serverName: SimpleText, logger: Logger,
        sendBuffer: SendBuffer, counts: SharedCounts, meeting: @Sendable (SocketNode) -> any Meeting
    ) {
        self.loop = loop
        self.configuration = configuration
        self.serverName = serverName
        self.logger = logger
        self.sendBuffer = sendBuffer
        self.counts = counts
        encoding = LineEncoding(limit: configuration.lineLimit)
        newcomers = Newcomers(limit: configuration.unnamedPeers, seed: .random(in: .min ... .max))
        self.meeting = meeting(self)
    }

    // MARK: Participants of this process

    func add(_ participant: Participant, as id: Int) {
        participants[id] = participant
        if !hasStarted {
            hasStarted = true
            meeting?.begin()
        } else if isLinked {
            participant.receive(.connected)
            // The others do not know that somebody new listens here.
            pass([.replicate], from: id)
        }
    }

    func remove(_ id: Int) {
        participants[id] = nil
        tellIfCaughtUp()
    }

    func caughtUp(_ id: Int) {
        guard isLinked else { return }
        participants[id]?.hasCaughtUp = true
        tellIfCaughtUp()
    }

    private func tellIfCaughtUp() {
        guard isLinked, !participants.isEmpty, participants.values.allSatisfy(\.hasCaughtUp) else { return }
        meeting?.caughtUp()
    }

    /// Passes on what participants have sent since the last time.
    func drain() {
        if isStopped { return }
        for entry in sendBuffer.takeAll() { pass(entry.commands, from: entry.sender) }
    }

    private func pass(_ commands: [ReplicationCommand], from sender: Int) {
        // The other processes first: theirs is the longer way.
        switch role {
        case .client(let server) where isLinked: server.send(lines(of: commands))
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
            logger.warning(
                "rows are too long for a line: receivers have to fetch them", metadata: ["count": "\(leftOut)"])
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
        counts.lastProblem = nil
        for id in participants.keys { participants[id]?.hasCaughtUp = false }
        loggedFailure = nil
        tellParticipants(.connected)
    }

    func linkIsDown(because problem: SocketProblem) {
        role = .seeking
        counts.lastProblem = problem
        if !isLinked { return }
        isLinked = false
        tellParticipants(.disconnected(reason: "\(problem)"))
    }

    /// A link could not be made: logged once for as long as it is the same.
    func attemptFailed(_ reason: String) {
        counts.lastProblem = .unreachable(problem: reason)
        if reason == loggedFailure { return }
        loggedFailure = reason
        logger.warning("replication over the socket does not work", metadata: ["reason": "\(reason)"])
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
        case .client(let server): server.close()
        case .server(let channel): channel.close(promise: nil)
        }
        for client in Array(clients.values) + newcomers.removeAll() { client.close() }
        clients = [:]
    }
}
