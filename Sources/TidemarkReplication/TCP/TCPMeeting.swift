#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

import Logging
import NIOCore
import NIOPosix
import Tidemark

/// How processes meet at a TCP address: carries out what ``Rendezvous`` decides.
final class TCPMeeting: Meeting {
    private unowned let node: SocketNode
    private let address: TCPAddress
    private let tls: TLSContexts?
    private var rendezvous: Rendezvous
    private(set) var servedPort: Int?
    /// The address that only this machine reaches, and that was told.
    private var unreachable: SocketAddress?

    init(node: SocketNode, address: TCPAddress, configuration: TCPConfiguration, tls: TLSContexts?) {
        self.node = node
        self.address = address
        self.tls = tls
        rendezvous = Rendezvous(
            role: configuration.role, delays: configuration.delays, seed: .random(in: .min ... .max))
    }

    var isServing: Bool { rendezvous.isServing }

    func begin() { perform(rendezvous.waited()) }
    func serverGreeted() { rendezvous.greeted() }
    func caughtUp() { rendezvous.caughtUp(now: .now()) }
    func serverLost(wasSilent: Bool) { perform(rendezvous.lost(now: .now())) }
    func listenerFailed() {
        servedPort = nil
        perform(rendezvous.lost(now: .now()))
    }

    private func perform(_ action: Rendezvous.Action) {
        if node.isStopped { return }
        switch action {
        case .connect: resolved { $0.connect(to: $1) }
        case .serve: resolved { $0.serve(at: $1) }
        case .wait(let delay): node.schedule(after: delay) { [self] in begin() }
        }
    }

    private func failed(_ error: any Error) {
        if node.isStopped { return }
        node.attemptFailed("\(address): \(error)")
        perform(rendezvous.failed(now: .now()))
    }

    /// The name may stand for another address than the last time, and may then need TLS.
    private func resolved(_ body: @escaping (TCPMeeting, SocketAddress) -> Void) {
        address.resolve(needsTLS: tls == nil, on: node.loop).assumeIsolated().whenComplete { [self] result in
            if node.isStopped { return }
            switch result {
            case .success(let address): body(self, address)
            case .failure(let error): failed(error)
            }
        }
    }

    // MARK: As a client

    private func connect(to resolved: SocketAddress) {
        let meeting = NIOLoopBound(self, eventLoop: node.loop)
        ClientBootstrap(group: node.loop)
            .connectTimeout(TimeAmount(node.configuration.silenceLimit))
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try meeting.value.addServer(on: channel) }
            }
            .connect(to: resolved)
            .assumeIsolated()
            .whenFailure { meeting.value.cannotConnect($0) }
    }

    private func addServer(on channel: any Channel) throws {
        if let tls { try channel.pipeline.syncOperations.addHandler(tls.clientHandler(host: address.host)) }
        try node.addServer(on: channel)
    }

    private func cannotConnect(_ error: any Error) {
        guard case .client = node.role, !node.isStopped else { return failed(error) }
        // The handler was there and heard of nothing: the connection was never made.
        node.role = .seeking
        guard let problem = error as? IOError, problem.errnoCode == ECONNREFUSED else { return failed(error) }
        switch rendezvous.nobodyServes(now: .now()) {
        case .serve: perform(.serve)
        case let action:
            node.attemptFailed("\(address): \(error)")
            perform(action)
        }
    }

    // MARK: As the server

    private func serve(at resolved: SocketAddress) {
        let meeting = NIOLoopBound(self, eventLoop: node.loop)
        ServerBootstrap(group: node.loop)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try meeting.value.addClient(on: channel) }
            }
            .bind(to: resolved)
            .assumeIsolated()
            .whenComplete { result in
                switch result {
                case .success(let channel): meeting.value.serves(on: channel)
                case .failure(let error): meeting.value.failed(error)
                }
            }
    }

    private func addClient(on channel: any Channel) throws {
        if let tls { try channel.pipeline.syncOperations.addHandler(tls.serverHandler()) }
        try node.addClient(on: channel)
    }

    private func serves(on channel: any Channel) {
        guard node.serves(on: channel) else { return }
        servedPort = channel.localAddress?.port
        rendezvous.serves()
        if let found = channel.localAddress { warnIfUnreachable(at: found) }
        node.linkIsUp()
    }

    /// No retry mends it, and nothing else shows it: everybody on this machine is heard.
    private func warnIfUnreachable(at found: SocketAddress) {
        guard found.isLoopback, !address.isMeantForThisMachineAlone, found != unreachable else { return }
        unreachable = found
        node.logger.error(
            "other machines cannot reach the replication server: this machine takes its name for a loopback address",
            metadata: [
                "host": "\(address.host)", "address": "\(found.ipAddress, default: "-")",
                "remedy": "map the name to the machine's own address (/etc/hosts), or give that address",
            ])
    }
}
