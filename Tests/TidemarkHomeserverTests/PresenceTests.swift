import Foundation
import Synchronization
import Testing
import Tidemark
import TidemarkTesting
import TidemarkWire
import TidemarkCore

@testable import TidemarkHomeserver

/// Reporters and a registry over a transport, with a clock that the test moves.
@Suite(.timeLimit(.minutes(1))) struct PresenceTests {
    private final class Changes: Sendable {
        private let all = Mutex<[SyncingUsers.Change]>([])
        var list: [SyncingUsers.Change] { all.withLock { $0 } }
        func add(_ change: SyncingUsers.Change) { all.withLock { $0.append(change) } }
    }

    /// Tells how many take part.
    private final class Transport: ReplicationTransport {
        private let local = LocalTransport()
        private let state = Mutex(0)

        var connections: Int { state.withLock { $0 } }
        var sent: [ReplicationCommand] { local.sent }

        func inject(_ command: ReplicationCommand) { local.inject(command) }

        func connect(
            as name: InstanceName, receive: @escaping @Sendable (ReplicationEvent) -> Void
        ) async throws -> any ReplicationConnection {
            let connection = try await local.connect(as: name, receive: receive)
            state.withLock { $0 += 1 }
            return connection
        }
    }

    private let clock = ManualClock()
    private let transport = Transport()
    private let changes = Changes()

    private func device(_ user: String) throws -> SyncingDevice {
        try SyncingDevice(user: FieldText(validating: user), device: nil)
    }

    private func registry() -> PresenceRegistry {
        PresenceRegistry(transport: transport, name: "presence", time: TimeSource(clock), wallClock: { 7 }) {
            [changes] in changes.add($0)
        }
    }

    private func reporter() throws -> PresenceReporter {
        PresenceReporter(
            transport: transport, name: "sync-1", instanceID: try FieldText(validating: "run-1"),
            time: TimeSource(clock), wallClock: { 7 })
    }

    /// Waits, with a bound by the suite, for what another task is about to do.
    private func until(_ isTrue: () -> Bool) async {
        while !isTrue(), !Task.isCancelled { await Task.yield() }
    }

    @Test func `a sync on one instance is known on the one that handles presence`() async throws {
        let (registry, reporter) = (registry(), try reporter())
        let listening = Task { try await registry.run() }
        await until { transport.connections == 1 }
        let reporting = Task { try await reporter.run() }
        let alice = try device("@alice:b")
        try await reporter.withSync(of: alice) {
            await until { registry.isSyncing(alice.user) }
            let origin = SyncingUsers.Origin.instance(try FieldText(validating: "run-1"))
            #expect(registry.syncs(of: alice.user).map(\.origin) == [origin])
            #expect(registry.users == [alice.user])
        }
        #expect(registry.isSyncing(alice.user))
        await clock.waitForSleepers(2)
        clock.advance(by: .seconds(10))
        await until { !registry.isSyncing(alice.user) }
        await until { changes.list.count == 2 }
        #expect(changes.list == [.started(alice.user), .ended(alice.user, lastSyncMilliseconds: 7)])
        listening.cancel()
        reporting.cancel()
        try await listening.value
        try await reporting.value
    }

    @Test func `the one that handles presence calls its registry and sends nothing`() async throws {
        let registry = registry()
        let listening = Task { try await registry.run() }
        let alice = try device("@alice:b")
        await registry.withSync(of: alice) {
            #expect(registry.isSyncing(alice.user))
        }
        await clock.waitForSleepers(1)
        clock.advance(by: .seconds(10))
        await until { !registry.isSyncing(alice.user) }
        listening.cancel()
        try await listening.value
        #expect(!transport.sent.contains { $0.kind == .userSync || $0.kind == .clearUserSync })
    }

    @Test func `an instance that stops in order says so`() async throws {
        let (registry, reporter) = (registry(), try reporter())
        let listening = Task { try await registry.run() }
        await until { transport.connections == 1 }
        let reporting = Task { try await reporter.run() }
        let alice = try device("@alice:b")
        reporter.syncBegan(alice)
        await until { registry.isSyncing(alice.user) }
        reporting.cancel()
        try await reporting.value
        await until { !registry.isSyncing(alice.user) }
        listening.cancel()
        try await listening.value
    }

    @Test func `a registry that comes later is told everything`() async throws {
        let reporter = try reporter()
        let reporting = Task { try await reporter.run() }
        let alice = try device("@alice:b")
        reporter.syncBegan(alice)
        await until { transport.sent.contains { $0.kind == .userSync } }
        let registry = registry()
        let listening = Task { try await registry.run() }
        await until { transport.connections == 2 }
        // It is told with the next repetition at the latest, and sooner by a transport that asks for it.
        await clock.waitForSleepers(1)
        clock.advance(by: .seconds(120))
        await until { registry.isSyncing(alice.user) }
        listening.cancel()
        reporting.cancel()
        try await listening.value
        try await reporting.value
    }

    //  the transport's thread                     a request's thread
    //  hears a sync: look in 300 s
    //  is about to set the timer
    //                                             a sync ends: look in 10 s
    //                                             sets the timer, or waits until the other one has
    //  sets the timer
    @Test func `a deadline is not replaced by one that was worked out before it`() async throws {
        let registry = registry()
        let listening = Task { try await registry.run() }
        await until { transport.connections == 1 }
        let (alice, bob) = (try device("@alice:b"), try device("@bob:b"))
        registry.syncBegan(alice)
        let isFirst = Atomic(true)
        let isOver = Atomic(false)
        registry.timer.beforeSetting.withLock {
            $0 = {
                guard isFirst.exchange(false, ordering: .relaxed) else { return }
                let cameIn = DispatchSemaphore(value: 0)
                Thread {
                    // Where the other thread holds the lock nobody gets in between.
                    let isFree = registry.state.withLockIfAvailable { _ in } != nil
                    if !isFree { cameIn.signal() }
                    registry.syncEnded(alice)
                    if isFree { cameIn.signal() }
                    isOver.store(true, ordering: .releasing)
                }.start()
                cameIn.wait()
            }
        }
        transport.inject(
            .userSync(
                try UserSync(
                    instanceID: try FieldText(validating: "run-1"), user: bob.user, device: nil, state: .start,
                    lastSyncMilliseconds: 7)))
        await until { isOver.load(ordering: .acquiring) }
        await clock.waitForSleepers(1)
        clock.advance(by: .seconds(10))
        await until { !registry.isSyncing(alice.user) }
        #expect(registry.isSyncing(bob.user))
        listening.cancel()
        try await listening.value
    }

    @Test func `instance IDs of two runs differ`() {
        #expect(FieldText.newInstanceID() != FieldText.newInstanceID())
    }
}
