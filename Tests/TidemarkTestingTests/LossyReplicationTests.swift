import Logging
import Synchronization
import Testing
import Tidemark
import TidemarkTesting

/// Real logs that hear of each other through a transport that loses, repeats, delays and reorders.
@Suite struct LossyReplicationTests {
    let store = InMemoryEventStore()
    let clock = ManualClock()

    private func open(
        _ instance: InstanceName?, over transport: LossyTransport, _ configuration: EventLogConfiguration
    ) async throws -> EventLog {
        try await EventLog.open(
            store, instance: instance, transport: transport, configuration: configuration, time: TimeSource(clock),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    private func event(_ id: String) -> Event { Event(id: id, type: "test") }

    /// Three writers, each of which now and then holds an ID while the others commit above it.
    private func write(_ writers: [EventLog], over transport: LossyTransport) async throws {
        for round in 0..<20 {
            let holder = writers[round % writers.count]
            try await holder.withNextID { id in
                for (number, writer) in writers.enumerated() {
                    try await writer.persist([event("\(round).\(number)"), event("\(round).\(number)'")])
                    clock.advance(by: .milliseconds(7))
                    await transport.deliverDue()
                }
                try await holder.persist(event("\(round) late"), as: id)
            }
        }
    }

    private func expectThatAllIsRead(seed: UInt64, _ configuration: EventLogConfiguration) async throws {
        let faults = LossyTransport.Faults(
            lossPercent: 40, repetitionPercent: 30, delay: .zero ... .milliseconds(500))
        let transport = LossyTransport(seed: seed, faults: faults, time: TimeSource(clock))
        var writers: [EventLog] = []
        for name in ["p1", "p2", "p3"] as [InstanceName] {
            writers.append(try await open(name, over: transport, configuration))
        }
        for writer in writers { try await writer.reconcile() }
        let reader = try await open(nil, over: transport, configuration)
        // From now on it knows the members, and everything else is replication's to bring.
        try await reader.reconcile()
        let events = reader.events()
        let isDone = Mutex(false)
        let reading = Task {
            defer { isDone.withLock { $0 = true } }
            var ids: [StreamID] = []
            for try await batch in events {
                ids += batch.events.map(\.streamID)
                if ids.count >= 140 { break }
            }
            return ids
        }
        try await write(writers, over: transport)
        for _ in 0..<200_000 where !isDone.withLock({ $0 }) {
            clock.advance(by: .milliseconds(50))
            await transport.deliverDue()
            await Task.yield()
        }
        reading.cancel()
        let stored = (store.database.streams["events"]?.events ?? []).map(\.streamID)
        #expect(stored.count == 140)
        #expect(try await reading.value == stored)
        let counts = transport.counts
        #expect(counts.lost > 0 && counts.repeated > 0 && counts.overtaken > 0)
        for log in writers + [reader] { await log.shutDown() }
    }

    @Test(arguments: 0..<3 as Range<UInt64>)
    func `every event is read in order`(seed: UInt64) async throws {
        try await expectThatAllIsRead(seed: seed, EventLogConfiguration())
    }

    /// Positions are repeated, so that what was lost heals, without the database's help.
    @Test(arguments: 0..<3 as Range<UInt64>)
    func `every event is read in order by replication alone`(seed: UInt64) async throws {
        var configuration = EventLogConfiguration()
        configuration.reconcileInterval = nil
        configuration.closesSilentWriters = false
        try await expectThatAllIsRead(seed: seed, configuration)
    }
}
