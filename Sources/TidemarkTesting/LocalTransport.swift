import Synchronization
import Tidemark

/// A transport within one process, on which a test can decide about each command that is sent. One that loses, repeats,
/// delays and reorders by itself is ``LossyTransport``.
public final class LocalTransport: ReplicationTransport {
    /// What becomes of a command: each element of the answer is delivered, in order. An empty answer loses it.
    public typealias Filter = @Sendable (_ command: ReplicationCommand) -> [ReplicationCommand]

    private struct State {
        var lastNumber = 0
        var participants: [Int: @Sendable (ReplicationEvent) -> Void] = [:]
        var filter: Filter?
        var sent: [ReplicationCommand] = []
        var caughtUp = 0
    }

    private let state = Mutex(State())

    /// Nobody takes part, and everything is delivered.
    public init() {}

    /// Everything that participants sent so far, delivered or not.
    public var sent: [ReplicationCommand] { state.withLock { $0.sent } }

    /// How often a participant has caught up with every stream.
    public var caughtUpCount: Int { state.withLock { $0.caughtUp } }

    /// Tells everyone that the connection was lost and made anew, without loss of what is sent from then on.
    public func reconnect() {
        for receive in state.withLock({ Array($0.participants.values) }) {
            receive(.disconnected(reason: "a test says so"))
            receive(.connected)
        }
    }

    /// Decides from now on what is delivered; nil: everything.
    public func setFilter(_ filter: Filter?) { state.withLock { $0.filter = filter } }

    /// Delivers a command to everyone, as if a process outside of the test had sent it.
    public func inject(_ command: ReplicationCommand) {
        for receive in state.withLock({ Array($0.participants.values) }) { receive(.command(command)) }
    }

    public func connect(
        as name: InstanceName, receive: @escaping @Sendable (ReplicationEvent) -> Void
    ) async throws -> any ReplicationConnection {
        let number = state.withLock { state in
            state.lastNumber += 1
            state.participants[state.lastNumber] = receive
            return state.lastNumber
        }
        receive(.connected)
        deliver([.replicate], from: number)
        return Connection(transport: self, number: number)
    }

    private func send(_ commands: [ReplicationCommand], from number: Int) {
        state.withLock { $0.sent += commands }
        deliver(commands, from: number)
    }

    private func deliver(_ commands: [ReplicationCommand], from number: Int) {
        let (receivers, delivered) = state.withLock { state in
            let filter = state.filter
            return (
                state.participants.filter { $0.key != number }.map(\.value),
                filter.map { filter in commands.flatMap(filter) } ?? commands
            )
        }
        for command in delivered {
            for receive in receivers { receive(.command(command)) }
        }
    }

    private struct Connection: ReplicationConnection {
        let transport: LocalTransport
        let number: Int

        func caughtUp() { transport.state.withLock { $0.caughtUp += 1 } }
        func send(_ commands: [ReplicationCommand]) { transport.send(commands, from: number) }
        func close() async { transport.state.withLock { _ = $0.participants.removeValue(forKey: number) } }
    }
}
