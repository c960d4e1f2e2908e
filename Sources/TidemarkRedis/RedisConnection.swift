import NIOCore
import Synchronization
import Tidemark

/// One instance's end of a ``RedisTransport``.
final class RedisConnection: ReplicationConnection {
    private let link: NIOLoopBoundBox<RedisLink>
    private let loop: any EventLoop
    private let sendBuffer: SendBuffer
    private let report: RedisReport
    private let transport: RedisTransport
    private let isClosed = Atomic(false)

    init(
        link: NIOLoopBoundBox<RedisLink>, loop: any EventLoop, sendBuffer: SendBuffer, report: RedisReport,
        transport: RedisTransport
    ) {
        self.link = link
        self.loop = loop
        self.sendBuffer = sendBuffer
        self.report = report
        self.transport = transport
    }

    func start() { loop.execute { [link] in link.value.start() } }

    func send(_ commands: [ReplicationCommand]) {
        if commands.isEmpty || isClosed.load(ordering: .acquiring) { return }
        switch sendBuffer.append(commands, from: 0) {
        case .wake: loop.execute { [link] in link.value.drain() }
        case .accepted: break
        case .full(let wakes):
            report.add(commands.count, to: \.droppedCommands)
            if wakes { loop.execute { [link] in link.value.drain() } }
        }
    }

    func caughtUp() { loop.execute { [link] in link.value.caughtUp() } }

    func close() async {
        if isClosed.exchange(true, ordering: .acquiringAndReleasing) { return }
        await withCheckedContinuation { continuation in
            loop.execute { [link] in
                link.value.stop()
                continuation.resume()
            }
        }
        await transport.connectionIsClosed()
    }
}
