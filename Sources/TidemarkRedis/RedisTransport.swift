public import Logging
import NIOCore
import NIOPosix
public import NIOSSL
import Synchronization
public import Tidemark

/// Carries commands between instances through a Redis server, as lines published on one of its channels.
///
/// Other software that speaks the same lines may use the same channel. While the server cannot be reached nothing waits:
/// what is sent is dropped, and everyone goes on through the database. When it is back, it is noticed within
/// ``RedisConfiguration/longestDelay``.
///
/// Each connection that is made through a transport has two connections to the server, one to publish and one to
/// listen. All of them share a thread, which is there from the first until the last one is closed: what other work a
/// program gives to shared event loops would delay announcements, and a slow `receive` would delay that work.
///
/// Redis sends everyone back what they have published; that does not reach `receive`.
public final class RedisTransport: ReplicationTransport {
    /// Where the server is, and the channel. Its descriptions leave the password out.
    public let url: RedisURL

    private struct State {
        var group: MultiThreadedEventLoopGroup?
        var connections = 0
    }

    private let configuration: RedisConfiguration
    private let tls: TLSConfiguration
    private let logger: Logger
    private let report = RedisReport()
    private let state = Mutex(State())

    /// - Parameter tls: whom to trust, and who this is, where the URL begins with `rediss://`. By default the
    ///   certificate authorities of the system, and nobody.
    public init(
        _ url: RedisURL, configuration: RedisConfiguration = RedisConfiguration(),
        tls: TLSConfiguration = .makeClientConfiguration(), logger: Logger = Logger(label: "tidemark.replication")
    ) {
        self.url = url
        self.configuration = configuration
        self.tls = tls
        self.logger = logger
    }

    /// - Throws: ``InvalidRedisURL``.
    public convenience init(
        _ url: String, configuration: RedisConfiguration = RedisConfiguration(),
        tls: TLSConfiguration = .makeClientConfiguration(), logger: Logger = Logger(label: "tidemark.replication")
    ) throws(InvalidRedisURL) {
        self.init(try RedisURL(parsing: url), configuration: configuration, tls: tls, logger: logger)
    }

    /// What was skipped, dropped or left out so far.
    public var counts: RedisCounts { report.counts }

    /// Why there is no connection, or what the server does not allow: nil while all is well.
    public var failure: RedisError? { report.failure }

    /// Half a second, within which everyone who is there has answered: a channel may be another system's. One with the
    /// prefix of ``RedisURL/defaultChannel`` is not.
    public var listensFirst: Duration {
        url.channel.hasPrefix(RedisURL.ownPrefix) ? .zero : .milliseconds(500)
    }

    /// Takes part until the connection is closed.
    ///
    /// Returns without waiting for the server; `receive` is told `ReplicationEvent.connected` when a subscription is
    /// confirmed, and `ReplicationEvent.disconnected(reason:)` also when the first connection cannot be made. The
    /// connection has to be closed: the transport's thread goes on until the last one is.
    ///
    /// - Throws: ``RedisError/tlsFailed(server:problem:)`` when the configuration of TLS cannot be used.
    public func connect(
        as name: InstanceName, receive: @escaping @Sendable (ReplicationEvent) -> Void
    ) async throws -> any ReplicationConnection {
        let context = try context()
        let loop = state.withLock { state in
            let group = state.group ?? MultiThreadedEventLoopGroup(numberOfThreads: 1)
            state.group = group
            state.connections += 1
            return group.next()
        }
        let sendBuffer = SendBuffer(limit: configuration.unsentLimit)
        let link = NIOLoopBoundBox.makeBoxSendingValue(
            RedisLink(
                url: url, configuration: configuration, loop: loop, tls: context, logger: logger,
                sendBuffer: sendBuffer,
                report: report, name: name, receive: receive),
            eventLoop: loop)
        let connection = RedisConnection(
            link: link, loop: loop, sendBuffer: sendBuffer, report: report, transport: self)
        connection.start()
        return connection
    }

    /// A server that is stopped says no farewell, and the end of this program does not wait for one.
    static func withShortFarewell(_ tls: TLSConfiguration) -> TLSConfiguration {
        var tls = tls
        tls.shutdownTimeout = min(tls.shutdownTimeout, .milliseconds(250))
        return tls
    }

    private func context() throws(RedisError) -> NIOSSLContext? {
        guard url.usesTLS else { return nil }
        do {
            return try NIOSSLContext(configuration: Self.withShortFarewell(tls))
        } catch {
            throw .tlsFailed(server: url.server, problem: "\(error)")
        }
    }

    func connectionIsClosed() async {
        let unused = state.withLock { state -> MultiThreadedEventLoopGroup? in
            state.connections -= 1
            if state.connections > 0 { return nil }
            defer { state.group = nil }
            return state.group
        }
        // Fails only for a group that was shut down before, and this one is nobody else's.
        try? await unused?.shutdownGracefully()
    }
}

extension RedisTransport {
    /// - Throws: ``UnreadableCertificate``.
    package convenience init(
        _ address: RedisAddress, configuration: RedisConfiguration = RedisConfiguration(),
        logger: Logger = Logger(label: "tidemark.replication")
    ) throws {
        var tls = TLSConfiguration.makeClientConfiguration()
        if let trust = address.trust { tls.trustRoots = .file(trust) }
        if let certificate = address.certificate, let key = address.key {
            do {
                tls.certificateChain = try NIOSSLCertificate.fromPEMFile(certificate).map { .certificate($0) }
                tls.privateKey = .privateKey(try NIOSSLPrivateKey(file: key, format: .pem))
            } catch {
                throw UnreadableCertificate(problem: "\(error)")
            }
        }
        self.init(address.url, configuration: configuration, tls: tls, logger: logger)
    }
}
