import Synchronization
import Tidemark

/// A transport within one process that loses, repeats, delays and so reorders what is sent, as its seed says.
///
/// What becomes of the n-th command from one name to another follows from the seed, the two names and n alone: not from
/// the thread that sends it, nor from the order in which others send. With a ``ManualClock`` a command arrives when
/// somebody moves the clock to its time, and not before; what is due at the same time arrives in the order of sending.
///
/// Nothing grows without bound: a command that finds ``Faults/queueLimit`` others under way to the same receiver is
/// lost.
public final class LossyTransport: ReplicationTransport {
    /// What a link does to a command.
    public struct Faults: Hashable, Sendable {
        /// How many of a hundred commands are lost.
        public var lossPercent: Int
        /// How many of a hundred that are not lost arrive twice, each time after a delay of its own.
        public var repetitionPercent: Int
        /// The shortest and the longest delay. Commands overtake each other where these differ.
        public var delay: ClosedRange<Duration>
        /// How many commands may be under way to one receiver.
        public var queueLimit: Int

        /// Traps unless percentages are 0 to 100, no delay is negative, and the limit is above 0.
        public init(
            lossPercent: Int = 20, repetitionPercent: Int = 20,
            delay: ClosedRange<Duration> = .zero ... .milliseconds(50), queueLimit: Int = 1024
        ) {
            precondition(0...100 ~= lossPercent && 0...100 ~= repetitionPercent, "percentages are 0 to 100")
            precondition(delay.lowerBound >= .zero && queueLimit > 0, "neither time nor room is negative")
            self.lossPercent = lossPercent
            self.repetitionPercent = repetitionPercent
            self.delay = delay
            self.queueLimit = queueLimit
        }
    }

    /// What has become of commands so far, each counted once for each receiver.
    public struct Counts: Hashable, Sendable {
        /// How many were sent, lost ones among them.
        public var sent = 0
        /// By chance, or because the queue was full.
        public var lost = 0
        /// Sent once, under way twice.
        public var repeated = 0
        /// How many arrived, repetitions among them.
        public var delivered = 0
        /// Delivered after one that the same sender had sent later.
        public var overtaken = 0
    }

    private let state: Mutex<LossyLinks>
    private let time: TimeSource

    /// - Parameters:
    ///   - seed: decides what becomes of each command.
    ///   - time: what delays are measured with.
    public init(seed: UInt64, faults: Faults = Faults(), time: TimeSource) {
        state = Mutex(LossyLinks(seed: seed, faults: faults))
        self.time = time
    }

    /// What has become of commands so far.
    public var counts: Counts { state.withLock { $0.counts } }

    /// What links do from now on; what is under way already arrives as it would have.
    public func setFaults(_ faults: Faults) { state.withLock { $0.faults = faults } }

    public func connect(
        as name: InstanceName, receive: @escaping @Sendable (ReplicationEvent) -> Void
    ) async throws -> any ReplicationConnection {
        let number = state.withLock { $0.connect(name, receive: receive) }
        receive(.connected)
        return Connection(transport: self, number: number)
    }

    /// Returns once everything that is due was delivered: for tests that have moved their clock, and would else have to
    /// wait for the transport's own task to wake up.
    public func deliverDue() async {
        deliver()
        while state.withLock({ $0.isDelivering }) { await Task.yield() }
    }

    private func send(_ commands: [ReplicationCommand], from number: Int) {
        let now = time.now
        state.withLock { $0.send(commands, from: number, now: now) }
        deliver()
    }

    /// Delivers what is due. One thread at a time does: whoever comes in the meantime leaves it to that one.
    private func deliver() {
        guard state.withLock({ $0.beginDelivering() }) else { return }
        while true {
            let now = time.now
            switch state.withLock({ $0.next(now: now) }) {
            case .deliver(let command, let receive): receive(.command(command))
            case .wakeUp(let deadline): return wakeUp(at: deadline)
            case .nothing: return
            }
        }
    }

    private func wakeUp(at deadline: Duration) {
        Task { [weak self, time] in
            // Nothing cancels this task.
            try? await time.sleep(until: deadline)
            self?.wokeUp(at: deadline)
        }
    }

    private func wokeUp(at deadline: Duration) {
        state.withLock { $0.wokeUp(at: deadline) }
        deliver()
    }

    private struct Connection: ReplicationConnection {
        let transport: LossyTransport
        let number: Int

        func send(_ commands: [ReplicationCommand]) { transport.send(commands, from: number) }

        func close() async {
            // What is being delivered to it has been before this returns: `receive` is not called afterwards.
            while transport.state.withLock({ $0.disconnect(number) }) { await Task.yield() }
        }
    }
}
