import Logging
import Synchronization
import TidemarkTesting

public import Tidemark

/// Writers and a reader on one store in memory, and a peer that says whatever the input says: lines of any bytes, and in
/// the names of members positions and rows above the sequence.
///
/// Whatever the peer says: the reader gets every event once and in order, nobody ends, and no checkpoint is above the
/// sequence.
public struct FuzzedSession {
    /// What went wrong.
    public enum Failure: Error {
        case readerEnded(any Error)
        case delivered([StreamID], expected: [StreamID])
        case checkpointAboveSequence(StreamID, sequence: StreamID)
        case promisedAboveSequence(StreamID, sequence: StreamID)
    }

    private static let stream: StreamName = "events"
    private let store = InMemoryEventStore(seed: 7)
    private let transport = LocalTransport()
    private let clock = ManualClock()
    private let logs: [EventLog]
    private let reader: EventLog
    /// A writer that says nothing itself, and holds IDs for as long as the input says.
    private let silent: Writer
    private var held: [StreamID] = []
    private var lastEvent = 0
    private var input: ArraySlice<UInt8>

    /// Runs a session to its end.
    ///
    /// - Throws: ``Failure``, or what a writer threw that should not.
    public static func run(_ input: [UInt8]) async throws {
        var session = try await FuzzedSession(input)
        let arrivals = Arrivals()
        let consumer = try await session.reader.consumer("fuzz")
        let store = session.store
        let reading = Task {
            do {
                for try await batch in consumer.events {
                    let sequence = Self.sequence(of: store)
                    guard batch.through <= sequence else {
                        throw Failure.checkpointAboveSequence(batch.through, sequence: sequence)
                    }
                    try await consumer.checkpoint(batch)
                    arrivals.add(batch.events.map(\.streamID))
                }
            } catch {
                arrivals.end(error)
            }
        }
        defer { reading.cancel() }
        while let step = session.input.popFirst() {
            try await session.take(step)
            for _ in 0..<3 { await Task.yield() }
            try session.check(arrivals)
        }
        try await session.end(arrivals)
        reading.cancel()
        await session.close()
    }

    private init(_ input: [UInt8]) async throws {
        self.input = input[...]
        var logs: [EventLog] = []
        for name in ["p1", "p2", nil] as [InstanceName?] {
            logs.append(
                try await EventLog.open(
                    store, stream: Self.stream, instance: name, transport: transport, time: TimeSource(clock),
                    logger: Logger(label: "fuzz") { _ in SwiftLogNoOpLogHandler() }))
        }
        reader = logs.removeLast()
        self.logs = logs
        silent = try await store.join(Self.stream, as: "p3").writer
    }

    // MARK: Steps

    private mutating func take(_ step: UInt8) async throws {
        switch step % 16 {
        case 0, 1: try await persist(logs[Int(step % 16)])
        case 2: if held.count < 3 { held += try await store.allocate(1, in: Self.stream, for: silent) }
        case 3: if !held.isEmpty { try await commit(held.removeFirst()) }
        case 4: try await beat()
        case 5: try await reader.reconcile()
        case 6: try await logs[0].reconcile()
        case 7: clock.advance(by: .milliseconds(Int(next())))
        case 8: transport.reconnect()
        case 9, 10: say(as: member(next()), above(next()), asRow: step % 16 == 10)
        case 11:
            let line = Array(input.prefix(Int(next())))
            input = input.dropFirst(line.count)
            // As a transport does: what cannot be parsed is skipped.
            if let command = try? ReplicationCommand.parse(line.span) { transport.inject(command) }
        case 12:
            // Within the sequence, and of another database.
            let speaker = Speaker(member(next()).writer, nonce: next() % 2 == 0 ? nil : 1 + Int64(next()))
            say(as: speaker, StreamID(Int64(next())), asRow: next() % 2 == 0)
        case 13: say(as: Speaker(Writer("p9", epoch: 1 + Int(next())), nonce: 5), above(next()), asRow: false)
        case 14: transport.inject(.replicate)
        default: try await inScope(logs[1])
        }
    }

    private mutating func next() -> UInt8 { input.popFirst() ?? 0 }

    private mutating func event() -> Event {
        lastEvent += 1
        return Event(id: "\(lastEvent)", type: "fuzz", payload: [])
    }

    private mutating func persist(_ log: EventLog) async throws {
        try await log.persist(event())
    }

    private mutating func inScope(_ log: EventLog) async throws {
        let event = event()
        try await log.withNextID { id in _ = try await log.persist(event, as: id) }
    }

    private mutating func commit(_ id: StreamID) async throws {
        _ = try await store.persist(event(), as: id, in: Self.stream, by: silent)
    }

    /// The promise of the silent writer, in the database alone.
    private func beat() async throws {
        let position = held.first.map { StreamID($0.rawValue - 1) } ?? Self.sequence(of: store)
        _ = try await store.heartbeat([Heartbeat(stream: Self.stream, writer: silent, position: position)])
    }

    /// A member as it speaks itself.
    private func member(_ choice: UInt8) -> Speaker {
        let membership = store.database.streams[Self.stream]?.membership
        let writer = [logs[0].writer, logs[1].writer, silent][Int(choice % 3)] ?? silent
        return Speaker(writer, nonce: membership?.nonces[writer])
    }

    /// An ID that the sequence does not come to in this session.
    private func above(_ choice: UInt8) -> StreamID {
        let distance = Int64(choice)
        return StreamID(
            choice % 2 == 0 ? Self.sequence(of: store).rawValue + 100_000 + distance : .max - distance)
    }

    private func say(as speaker: Speaker, _ id: StreamID, asRow: Bool) {
        let (writer, nonce) = (speaker.writer, speaker.nonce)
        transport.inject(
            asRow
                ? .rdata(
                    ReplicationRow(
                        stream: Self.stream, writer: writer, nonce: nonce, token: .id(id), row: .null))
                : .position(
                    ReplicationPosition(stream: Self.stream, writer: writer, nonce: nonce, previous: id, new: id)))
    }

    private static func sequence(of store: InMemoryEventStore) -> StreamID {
        store.database.streams[stream]?.sequence ?? 0
    }

    // MARK: Checks

    private func check(_ arrivals: Arrivals) throws {
        if let error = arrivals.error { throw Failure.readerEnded(error) }
        let sequence = Self.sequence(of: store)
        for log in logs {
            // Of others it may be a lie; of itself it is a promise.
            let position = log.generator.positions[log.instance] ?? 0
            guard position <= sequence else {
                throw Failure.promisedAboveSequence(position, sequence: sequence)
            }
        }
        for (_, row) in store.database.streams[Self.stream]?.writers ?? [:] where row.position > sequence {
            throw Failure.promisedAboveSequence(row.position, sequence: sequence)
        }
    }

    /// The peer falls silent, everybody commits what they hold, and the reader gets all of it.
    private mutating func end(_ arrivals: Arrivals) async throws {
        for id in held { try await commit(id) }
        held = []
        for log in logs { try await persist(log) }
        try await beat()
        let expected = store.database.streams[Self.stream]?.events.map(\.streamID) ?? []
        for round in 0..<3000 {
            if arrivals.error != nil || arrivals.ids.count >= expected.count { break }
            for log in logs + [reader] { try await log.reconcile() }
            clock.advance(by: .milliseconds(250))
            try await beat()
            for _ in 0..<10 { await Task.yield() }
            // The thread of the reader may wait for a core longer than all these rounds take. Half a minute is enough for it.
            if round >= 100 { try await Task.sleep(for: .milliseconds(10)) }
        }
        try check(arrivals)
        if arrivals.ids != expected { throw Failure.delivered(arrivals.ids, expected: expected) }
    }

    private func close() async {
        for log in logs + [reader] { await log.shutDown() }
        // Lets those go who sleep.
        clock.advance(by: .seconds(1000))
    }
}

/// What the reader was given, and why it ended.
private final class Arrivals: Sendable {
    private let state = Mutex<(ids: [StreamID], error: (any Error)?)>(([], nil))

    var ids: [StreamID] { state.withLock { $0.ids } }
    var error: (any Error)? { state.withLock { $0.error } }

    func add(_ ids: [StreamID]) { state.withLock { $0.ids += ids } }

    func end(_ error: any Error) {
        if error is CancellationError { return }
        state.withLock { $0.error = error }
    }
}
