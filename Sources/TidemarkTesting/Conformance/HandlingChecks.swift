import Logging
import Synchronization
import Tidemark

/// What a log and its processors do, on whatever store.
extension StoreConformance {
    static let handlingChecks: [StoreCheck] = [
        check("an event that fails is parked with its last error, and tried late when somebody asks") { one in
            try await one.log.persist([one.event("a", key: "k"), one.event("b", key: "k")])
            let calls = Mutex<[(id: String, context: HandlingContext?)]>([])
            let isMended = Mutex(false)
            let worker = one.processor { event in
                let count = calls.withLock { calls in
                    calls.append((event.event.id, HandlingContext.current))
                    return calls.count
                }
                // Something new each time.
                if event.event.id == "a", !isMended.withLock({ $0 }) {
                    throw HandlerFailure(description: "no \(count)")
                }
            }
            try await worker.running {
                try await eventually("both are passed") { try await one.position() == 2 }
                try require(calls.withLock { $0.map(\.id) }, is: ["a", "a", "a", "b"])
                try require(calls.withLock { $0.map { $0.context?.attempt } }, is: [1, 2, 3, 1])
                let parked = try await one.log.parkedEvents(of: "worker")
                try require(parked.map { $0.event?.event.id }, is: ["a"])
                try require(parked[0].problem, is: "no 3")
                try require(parked[0].attempts, is: 3)
                // Whatever the checkpoint says.
                try require(try await one.log.wait(for: "worker", toPass: 1, timeout: .zero), is: .parked)
                try require(try await one.log.wait(for: "worker", toPass: 2, timeout: .zero), is: .reached)
                isMended.withLock { $0 = true }
                try require(try await one.log.retryParked([1], of: "worker"), is: 1)
                try await eventually("it is handled") { try await one.log.parkedEvents(of: "worker").isEmpty }
                let late = calls.withLock { $0.last }
                try require(late?.id, is: "a")
                try require(late?.context?.isLate, is: true)
            }
        },
        check("a handler over its limit keeps its key blocked until it returns, and what follows is parked behind it") {
            one in
            try await one.log.persist([one.event("a", key: "k"), one.event("b", key: "k"), one.event("c")])
            let door = Door()
            let handled = Mutex<[String]>([])
            let worker = one.processor(timeLimit: .milliseconds(20)) { event in
                // It pays no heed to being cancelled.
                if event.event.id == "a" { await door.pass() }
                handled.withLock { $0.append(event.event.id) }
            }
            try await worker.running {
                try await eventually("all are passed") { try await one.position() == 3 }
                try await one.log.persist(one.event("d", key: "k"))
                try await eventually("what follows is passed") { try await one.position() == 4 }
                // The status names the handler that holds it up.
                try await eventually("its handler is shown") {
                    let consumers = try await one.store.status(of: one.stores.stream)?.consumers ?? []
                    return consumers.first?.partitions.contains { $0.oldestHandler == 1 } ?? false
                }
                let parked = try await one.log.parkedEvents(of: "worker")
                try require(parked.map { $0.event?.event.id }, is: ["a", "b", "d"])
                try require(parked.map(\.reason), is: [.timeLimit, .behind, .behind])
                try require(handled.withLock { $0 }, is: ["c"])
                door.open()
                try await eventually("it has returned") { handled.withLock { $0.contains("a") } }
                var number = 0
                try await eventually("its key goes on") {
                    number += 1
                    try await one.log.persist(one.event("e\(number)", key: "k"))
                    return handled.withLock { $0.count } > 2
                }
            }
        },
        check("a handler is told the claim of its partition, which is another one once somebody else has had it") {
            one in
            try await one.log.persist(one.event("a", key: "k"))
            let claims = Mutex<[Int]>([])
            for (id, position) in [("b", 2), ("c", 3)] as [(String, StreamID)] {
                let worker = one.processor { _ in
                    claims.withLock { $0.append(HandlingContext.current?.claim ?? -1) }
                }
                try await worker.running {
                    try await one.log.persist(one.event(id, key: "k"))
                    try await eventually("it is passed") { try await one.position() == position }
                }
            }
            let found = claims.withLock { $0 }
            try require(found.count == 3 && found[0] == found[1] && found[1] < found[2], "the claims are \(found)")
        },
        check("processes that run a processor have heartbeats, and are no members") { one in
            let before = try await one.stores.reconcile(limit: 0).membership
            let worker = one.processor { _ in }
            try await worker.running {
                try await eventually("it has partitions") { !worker.partitions.isEmpty }
                let status = try await one.store.status(of: one.stores.stream)
                try require(status?.consumers.first?.isInUse, is: true)
                try require(status?.writers.map(\.writer.instance), is: ["p1"])
                let after = try await one.stores.reconcile(limit: 0).membership
                try require(after.members, is: before.members)
                try require(after.version, is: before.version)
            }
        },
        check("a processor that is moved while it runs goes on from there, and one that is deleted ends") { one in
            try await one.log.persist([one.event("a"), one.event("b")])
            let handled = Mutex<[String]>([])
            let worker = one.processor { event in handled.withLock { $0.append(event.event.id) } }
            let ending = try await one.ending(of: worker) {
                try await eventually("both are passed") { try await one.position() == 2 }
                // Everything is finished, and said so in the database.
                if let writer = one.log.writer { _ = try await one.stores.beat(writer, at: 2) }
                _ = try await one.store.moveConsumer("worker", in: one.stores.stream, to: .after(1))
                try await eventually("the second comes again") {
                    try await one.position() == 2 && handled.withLock { $0.sorted() } == ["a", "b", "b"]
                }
                try await one.store.deleteConsumer("worker", in: one.stores.stream, takingOver: true)
            }
            try require(ending, is: .unknownConsumer(stream: one.stores.stream, consumer: "worker", known: []))
        },
        check("a processor whose filter is changed while it runs ends with that, and passes no more") { one in
            try await one.log.persist([one.event("a", key: "k")])
            let handled = Mutex<[String]>([])
            let worker = one.processor { event in handled.withLock { $0.append(event.event.id) } }
            let ending = try await one.ending(of: worker) {
                try await eventually("it is passed") { try await one.position() == 1 }
                try await one.store.changeFilter(of: "worker", in: one.stores.stream, to: .types(["other"]))
            }
            try require(
                ending, is: .filterDiffers(stream: one.stores.stream, consumer: "worker", stored: .types(["other"])))
            try await one.log.persist(Event(id: "b", type: "other", key: "k"))
            let other = one.processor(filter: .types(["other"])) { event in
                handled.withLock { $0.append(event.event.id) }
            }
            try await other.running {
                try await eventually("the next is passed") { try await one.position() == 2 }
            }
            try require(handled.withLock { $0 }, is: ["a", "b"])
            try require(try await one.store.audit(one.stores.stream, consumer: "worker", limit: 9).findings, is: [])
        },
        check("a processor in another number of partitions is an error, and the first goes on") { one in
            let worker = one.processor { _ in }
            try await worker.running {
                try await eventually("it has partitions") { worker.partitions.count == 2 }
                let other = one.processor(partitions: 3) { _ in }
                let ending = try await one.ending(of: other) {}
                guard case .partitionsDiffer = ending else {
                    throw ConformanceFailure(description: "it ends with \(ending)")
                }
                try await one.log.persist(one.event("a"))
                try await eventually("it is passed") { try await one.position() == 1 }
            }
        },
        check("an event with too much metadata, or of another key than its call, is refused before anything is written")
        {
            one in
            let large = Event(id: "a", type: "t", metadata: ["a": String(repeating: "x", count: 16 << 10)])
            try await requireThrows("the event is invalid", where: \.isInvalidEvent) {
                try await one.log.persist([one.event("first"), large])
            }
            if let store = one.store as? any KeyIndexStore {
                try await store.completeKeyIndex(of: one.stores.stream, rows: 10)
                try await requireThrows("the event is invalid", where: \.isInvalidEvent) {
                    try await one.log.persist(
                        [one.event("b", key: "k"), one.event("c", key: "l")], ifNewest: nil, ofKey: "k")
                }
            }
            try require(try await one.stores.reconcile().newestCommitted, is: 0)
        },
    ]

    private static func check(
        _ description: String, _ body: @escaping @Sendable (HandledLog) async throws -> Void
    ) -> StoreCheck {
        StoreCheck(description) { stores in
            // A store need not keep processors.
            guard let store = stores.store as? any ProcessorStore else { return }
            let log = try await EventLog.open(
                store, stream: stores.stream, instance: "p1", transport: nil,
                logger: Logger(label: "conformance") { _ in SwiftLogNoOpLogHandler() })
            let result: Result<Void, any Error>
            do { result = .success(try await body(HandledLog(stores: stores, store: store, log: log))) } catch {
                result = .failure(error)
            }
            await log.shutDown()
            try result.get()
        }
    }
}

/// A log, for processors that handle its events.
private struct HandledLog: Sendable {
    let stores: ConformanceStores
    let store: any ProcessorStore
    let log: EventLog

    func event(_ id: String, key: String? = nil) -> Event { Event(id: id, type: "noted", key: key) }

    func processor(
        filter: EventFilter = .all, partitions: Int = 2, timeLimit: Duration? = nil,
        _ handle: @escaping @Sendable (PersistedEvent) async throws -> Void
    ) -> EventProcessor {
        var configuration = ProcessorConfiguration(
            partitions: partitions, maximumAttempts: 3, shortestDelay: .milliseconds(1),
            longestDelay: .milliseconds(1))
        configuration.checkpointInterval = .milliseconds(1)
        configuration.timeLimit = timeLimit
        return log.processor("worker", filter: filter, configuration: configuration, handle: handle)
    }

    /// Runs the processor until it has ended by itself, after the body; why it did.
    func ending(of processor: EventProcessor, _ body: () async throws -> Void) async throws -> TidemarkError {
        let ended = Mutex<TidemarkError?>(nil)
        let task = Task {
            do { try await processor.run() } catch let error as TidemarkError { ended.withLock { $0 = error } }
        }
        defer { task.cancel() }
        try await body()
        try await eventually("the processor ends") { ended.withLock { $0 != nil } }
        guard let error = ended.withLock({ $0 }) else { throw ConformanceFailure(description: "it did not end") }
        return error
    }

    /// The checkpoint.
    func position() async throws -> StreamID? {
        try await store.status(of: stores.stream)?.consumers.first { $0.name == "worker" }?.position
    }
}

private struct HandlerFailure: Error, CustomStringConvertible {
    let description: String
}

/// Nobody passes until it is opened, cancelled or not.
private final class Door: Sendable {
    private let state = Mutex<(isOpen: Bool, waiting: [CheckedContinuation<Void, Never>])>((false, []))

    func pass() async {
        await withCheckedContinuation { continuation in
            let isOpen = state.withLock { state in
                if !state.isOpen { state.waiting.append(continuation) }
                return state.isOpen
            }
            if isOpen { continuation.resume() }
        }
    }

    func open() {
        let waiting = state.withLock { state in
            defer { state.waiting = [] }
            state.isOpen = true
            return state.waiting
        }
        for continuation in waiting { continuation.resume() }
    }
}

extension TidemarkError {
    fileprivate var isInvalidEvent: Bool { if case .invalidEvent = self { true } else { false } }
}

extension EventProcessor {
    /// Runs it until the body has ended.
    package func running(_ body: () async throws -> Void) async throws {
        let task = Task { try await run() }
        let result: Result<Void, any Error>
        do { result = .success(try await body()) } catch { result = .failure(error) }
        task.cancel()
        let ended = await task.result
        try result.get()
        try ended.get()
    }
}
