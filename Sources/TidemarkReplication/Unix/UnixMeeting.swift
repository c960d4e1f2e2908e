import Logging
import NIOCore
import NIOPosix
import Tidemark

/// How processes meet at a Unix socket: carries out what ``Election`` decides. The system calls are made on the event
/// loop: none of them waits for another process.
final class UnixMeeting: Meeting {
    private unowned let node: SocketNode
    private let path: String
    /// The file that the folder is beside.
    private let database: String?
    private var election: Election
    /// The socket that this process is connected to.
    private var socket: SocketIdentity?

    init(node: SocketNode, path: String, besideDatabase database: String?) {
        self.node = node
        self.path = path
        self.database = database
        election = Election(seed: .random(in: .min ... .max))
    }

    var isServing: Bool { election.isServing }
    var servedPort: Int? { nil }

    func begin() { perform(election.waited()) }
    func serverGreeted() { election.greeted(by: socket) }
    func caughtUp() { election.caughtUp(now: .now()) }
    func serverLost(wasSilent: Bool) {
        perform(election.lostServer(at: socket, wasSilent: wasSilent, now: .now()))
    }
    func listenerFailed() { perform(election.failed(now: .now())) }

    private func perform(_ action: Election.Action) {
        if node.isStopped { return }
        switch action {
        case .nothing:
            break
        case .connect(let silent):
            attempting { try connect(avoiding: silent) }
        case .takeOver(let replaced, let ignoringLock):
            attempting { try takeOver(replacing: replaced, ignoringLock: ignoringLock) }
        case .wait(let delay):
            node.schedule(after: delay) { [self] in perform(election.waited()) }
        case .stepDown(let delay):
            node.stepDown(because: "another process serves the socket now")
            node.schedule(after: delay) { [self] in perform(election.waited()) }
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
        if node.isStopped { return }
        node.attemptFailed("\(error)")
        perform(election.failed(now: .now()))
    }

    private func openFolder() throws(SocketFolderError) -> SocketFolder {
        let folder = try SocketFolder(path: path, besideDatabase: database)
        folder.reportFormerMode(to: node.logger)
        return folder
    }

    // MARK: As a client

    private func connect(avoiding silent: SocketIdentity?) throws(SocketFolderError) {
        let folder = try openFolder()
        let found = folder.identity(ofName: SocketFolder.socketName)
        guard let found, found != silent, let descriptor = try folder.connectedSocket() else {
            return perform(election.nobodyServes(at: found, now: .now()))
        }
        let meeting = NIOLoopBound(self, eventLoop: node.loop)
        ClientBootstrap(group: node.loop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try meeting.value.addServer(on: channel, socket: found) }
            }
            .withConnectedSocket(descriptor)
            .assumeIsolated()
            .whenFailure { error in
                // The handler, once it is there, tells of a failure in its own way, and only once.
                if case .client(let server) = meeting.value.node.role {
                    server.failed(error)
                } else {
                    meeting.value.failed(error)
                }
            }
    }

    private func addServer(on channel: any Channel, socket: SocketIdentity) throws {
        self.socket = socket
        try node.addServer(on: channel)
    }

    // MARK: As the server

    private func takeOver(replacing replaced: SocketIdentity?, ignoringLock: Bool) throws(SocketFolderError) {
        switch try openFolder().takeOver(replacing: replaced, ignoringLock: ignoringLock) {
        case .lockIsHeld:
            perform(election.lockIsHeld(now: .now()))
        case .replacedMeanwhile:
            perform(election.replacedMeanwhile())
        case .serving(let descriptor, let identity):
            let meeting = NIOLoopBound(self, eventLoop: node.loop)
            ServerBootstrap(group: node.loop)
                .childChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture { try meeting.value.node.addClient(on: channel) }
                }
                .withBoundSocket(descriptor)
                .assumeIsolated()
                .whenComplete { result in
                    switch result {
                    case .success(let channel): meeting.value.serves(on: channel, as: identity)
                    case .failure(let error): meeting.value.failed(error)
                    }
                }
        }
    }

    private func serves(on channel: any Channel, as identity: SocketIdentity) {
        guard node.serves(on: channel) else { return }
        election.tookOver(as: identity)
        node.linkIsUp()
        lookAfterOwnSocket()
    }

    /// A server that was stopped for a while finds here that another has taken its place.
    private func lookAfterOwnSocket() {
        node.schedule(after: TimeAmount(node.configuration.pingInterval)) { [self] in
            let found = SocketFolder.socketIdentity(inFolder: path)
            let action = election.looked(found: found, now: .now())
            if action == .nothing { lookAfterOwnSocket() } else { perform(action) }
        }
    }
}
