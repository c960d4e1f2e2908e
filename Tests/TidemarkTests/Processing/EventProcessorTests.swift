import Foundation
import Logging
import ServiceLifecycle
import Synchronization
import TestSupport
import Testing
import Tidemark
import TidemarkTesting

/// What handlers were called with.
final class Calls: Sendable {
    private let state = Mutex<[(id: String, context: HandlingContext?)]>([])

    func add(_ event: PersistedEvent) {
        state.withLock { $0.append((event.event.id, HandlingContext.current)) }
    }

    var ids: [String] { state.withLock { $0.map(\.id) } }
    var contexts: [HandlingContext] { state.withLock { $0.compactMap(\.context) } }
}

/// Blocks a thread until it is told to end.
private final class Blocked: Sendable {
    private let semaphore = DispatchSemaphore(value: 0)

    func wait() { semaphore.wait() }
    func end() { semaphore.signal() }
}

struct Refused: Error, CustomStringConvertible {
    let description = "refused"
}

@Suite struct EventProcessorTests {
    let store = InMemoryEventStore()
    let calls = Calls()

    func open(time: TimeSource = .continuous, _ instance: InstanceName? = "p1") async throws -> EventLog {
        try await EventLog.open(
            store, instance: instance, time: time, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    func event(_ id: String, key: String? = nil) -> Event { Event(id: id, type: "test", key: key) }

    /// Quick, so that tests need not wait.
    var configuration: ProcessorConfiguration {
        var configuration = ProcessorConfiguration(
            partitions: 4, shortestDelay: .milliseconds(1), longestDelay: .milliseconds(2))
        configuration.checkpointInterval = .milliseconds(1)
        return configuration
    }

    var processor: ProcessorName { ProcessorName("worker", of: "events") }

    /// The checkpoint in the database.
    var position: StreamID? { store.database.streams["events"]?.consumers["worker"]?.position }

    /// Runs the processor until `body` has ended, and returns the error that ended it, if one did.
    @discardableResult
    func running(_ processor: EventProcessor, _ body: () async throws -> Void) async throws -> (any Error)? {
        let task = Task { try await processor.run() }
        let result: Result<Void, any Error>
        do { result = .success(try await body()) } catch { result = .failure(error) }
        task.cancel()
        let ended = await task.result
        try result.get()
        if case .failure(let error) = ended { return error }
        return nil
    }

    @Test func `each event is handled, and the checkpoint follows`() async throws {
        let log = try await open()
        for number in 0..<20 { try await log.persist(event("e\(number)", key: "k\(number % 5)")) }
        let worker = log.processor("worker", configuration: configuration) { [calls] in calls.add($0) }
        try await running(worker) {
            try await eventually { position == 20 }
            try await log.persist(event("last"))
            try await eventually { position == 21 }
        }
        #expect(Set(calls.ids).count == 21 && calls.ids.count == 21)
        for key in 0..<5 {
            let ofKey = calls.ids.filter { $0 != "last" && Int($0.dropFirst()).map { $0 % 5 == key } ?? false }
            #expect(ofKey == stride(from: key, to: 20, by: 5).map { "e\($0)" })
        }
        #expect(calls.contexts.count == 21 && calls.contexts.allSatisfy { $0.attempt == 1 && !$0.isLate })
        // It has given everything back.
        let row = store.database.streams["events"]?.processors["worker"]
        #expect(row?.partitions.allSatisfy { $0.owner == nil } == true && row?.processes.isEmpty == true)
        await log.shutDown()
    }

    @Test func `the next process goes on from the checkpoint`() async throws {
        let log = try await open()
        try await log.persist(event("a"))
        let first = log.processor("worker", configuration: configuration) { [calls] in calls.add($0) }
        try await running(first) { try await eventually { position == 1 } }
        try await log.persist(event("b"))
        let second = log.processor("worker", configuration: configuration) { [calls] in calls.add($0) }
        try await running(second) { try await eventually { position == 2 } }
        #expect(calls.ids == ["a", "b"])
        await log.shutDown()
    }

    @Test func `what fails is tried again, then parked, and tried late when somebody asks`() async throws {
        let log = try await open()
        try await log.persist([event("a", key: "k"), event("b", key: "k")])
        let isMended = Mutex(false)
        let worker = log.processor("worker", configuration: configuration) { [calls] event in
            calls.add(event)
            if event.event.id == "a", !isMended.withLock({ $0 }) { throw Refused() }
        }
        try await running(worker) {
            try await eventually { position == 2 }
            #expect(calls.ids == ["a", "a", "a", "a", "a", "b"])
            #expect(calls.contexts.map(\.attempt) == [1, 2, 3, 4, 5, 1])
            let parked = try await log.parkedEvents(of: "worker")
            #expect(parked.map { $0.event?.event.id } == ["a"] && parked[0].problem == "refused")
            isMended.withLock { $0 = true }
            #expect(try await log.retryParked([1], of: "worker") == 1)
            try await eventually { try await log.parkedEvents(of: "worker").isEmpty }
            #expect(calls.ids.last == "a" && calls.contexts.last?.isLate == true)
        }
        await log.shutDown()
    }

    //  worker   parks a, b │ takes both, handles a …       │ shutdown: a ends, b was not begun
    //  somebody            │ asks for both to be retried   │
    //  another                                             │ begins, and handles b late
    @Test func `what was to be tried again and was not begun at shutdown is tried by the next process`() async throws {
        let log = try await open()
        try await log.persist([event("a", key: "k"), event("b", key: "k")])
        let gate = Gate()
        let isMended = Mutex(false)
        var configuration = configuration
        configuration.maximumAttempts = 1
        let first = log.processor("worker", configuration: configuration) { [calls] event in
            guard isMended.withLock({ $0 }) else { throw Refused() }
            calls.add(event)
            await gate.pass()
        }
        try await running(first) {
            try await eventually { position == 2 }
            isMended.withLock { $0 = true }
            #expect(try await log.retryParked(of: "worker") == 2)
            try await eventually { calls.ids == ["a"] }
            #expect(try await log.parkedEvents(of: "worker").allSatisfy { !$0.isToBeRetried })
            Task {
                try await eventually { first.isStopping }
                gate.open()
            }
        }
        #expect(try await log.parkedEvents(of: "worker").map(\.streamID) == [2])
        let second = log.processor("worker", configuration: configuration) { [calls] in calls.add($0) }
        try await running(second) { try await eventually { try await log.parkedEvents(of: "worker").isEmpty } }
        #expect(calls.ids == ["a", "b"] && calls.contexts.last?.isLate == true)
        await log.shutDown()
    }

    //  worker    is given "test" alone     │ ends, with an error        │
    //  somebody                            │ changes the filter, persists b of another type
    //  another                                                          │ begins with the new filter, and is given b
    @Test func `another filter ends a processor that runs with the former, before it leaves out what it should not`()
        async throws
    {
        let log = try await open()
        try await log.persist(event("a"))
        let first = log.processor("worker", filter: .types(["test"]), configuration: configuration) { [calls] in
            calls.add($0)
        }
        let ended = Mutex<(any Error)?>(nil)
        let run = Task {
            do { try await first.run() } catch { ended.withLock { $0 = error } }
        }
        try await eventually { position == 1 }
        try await log.changeFilter(of: "worker", to: .all)
        try await log.persist(Event(id: "b", type: "other"))
        try await eventually { ended.withLock { $0 != nil } || position == 2 }
        run.cancel()
        await run.value
        #expect(
            ended.withLock { $0 as? TidemarkError }
                == .filterDiffers(stream: "events", consumer: "worker", stored: .all))
        let second = log.processor("worker", configuration: configuration) { [calls] in calls.add($0) }
        try await running(second) { try await eventually { position == 2 } }
        #expect(calls.ids == ["a", "b"])
        await log.shutDown()
    }

    @Test func `a processor that was deleted while its store was out of reach is not made anew`() async throws {
        let log = try await open()
        try await log.persist(event("a"))
        let worker = log.processor("worker", configuration: configuration) { [calls] in calls.add($0) }
        let ended = Mutex<(any Error)?>(nil)
        let run = Task {
            do { try await worker.run() } catch { ended.withLock { $0 = error } }
        }
        try await eventually { position == 1 }
        let refused = Mutex(0)
        store.setHook { operation, moment in
            guard case .beat = operation, moment == .before else { return }
            refused.withLock { $0 += 1 }
            throw TidemarkError.storeUnavailable(store: "memory", problem: "it is out of reach")
        }
        try await eventually { refused.withLock { $0 > 0 } }
        try await log.deleteConsumer("worker", takingOver: true)
        store.setHook(nil)
        try await eventually { ended.withLock { $0 != nil } || calls.ids.count > 1 }
        run.cancel()
        await run.value
        #expect(calls.ids == ["a"])
        await log.shutDown()
    }

    @Test func `a processor that is to stop throws at the event, and passes nothing`() async throws {
        let log = try await open()
        try await log.persist(event("a"))
        var configuration = configuration
        configuration.whenExhausted = .stop
        configuration.maximumAttempts = 1
        let worker = log.processor("worker", configuration: configuration) { _ in throw Refused() }
        await #expect(
            throws: TidemarkError.handlerFailed(
                stream: "events", consumer: "worker", id: 1, attempts: 1, problem: "refused")
        ) { try await worker.run() }
        #expect(position == 0)
        await log.shutDown()
    }

    @Test func `graceful shutdown finishes what is being handled, and checkpoints it`() async throws {
        let log = try await open()
        try await log.persist([event("a", key: "k"), event("b", key: "k")])
        let gate = Gate()
        let worker = log.processor("worker", configuration: configuration) { [calls] event in
            await gate.pass()
            calls.add(event)
        }
        let group = ServiceGroup(
            services: [worker], logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let task = Task { try await group.run() }
        await gate.arrivals()
        await group.triggerGracefulShutdown()
        try await eventually { worker.isStopping }
        gate.open()
        try await task.value
        // The second was not begun.
        #expect(calls.ids == ["a"] && position == 1)
        await log.shutDown()
    }

    @Test func `a handler over the limit is cancelled and its event parked`() async throws {
        let log = try await open()
        try await log.persist([event("a", key: "k"), event("b", key: "k"), event("c")])
        var configuration = configuration
        configuration.timeLimit = .milliseconds(20)
        let gate = Gate()
        let wasCancelled = Mutex(false)
        let worker = log.processor("worker", configuration: configuration) { [calls] event in
            calls.add(event)
            guard event.event.id == "a" else { return }
            await withTaskCancellationHandler {
                await gate.pass()
            } onCancel: {
                wasCancelled.withLock { $0 = true }
            }
        }
        try await running(worker) {
            try await eventually { position == 3 }
            #expect(wasCancelled.withLock { $0 })
            #expect(try await log.parkedEvents(of: "worker").map(\.reason) == [.timeLimit, .behind])
            gate.open()
            try await log.persist(event("d", key: "k"))
            try await eventually { position == 4 }
            #expect(calls.ids.last == "d")
        }
        await log.shutDown()
    }

    /// Nothing can cancel it: its event is parked all the same, and the others need another thread.
    @Test(.enabled(if: ProcessInfo.processInfo.activeProcessorCount > 1))
    func `a handler that blocks its thread holds up its own key alone`() async throws {
        let log = try await open()
        try await log.persist([event("a", key: "k"), event("b", key: "k"), event("c", key: "l")])
        var configuration = configuration
        configuration.timeLimit = .milliseconds(20)
        let blocked = Blocked()
        let worker = log.processor("worker", configuration: configuration) { [calls] event in
            calls.add(event)
            if event.event.id == "a" { blocked.wait() }
        }
        try await running(worker) {
            defer { blocked.end() }
            try await eventually { position == 3 }
            #expect(Set(calls.ids) == ["a", "c"])
            #expect(try await log.parkedEvents(of: "worker").map(\.reason) == [.timeLimit, .behind])
        }
        await log.shutDown()
    }

    //  handler                       heartbeats
    //  begins                        confirmed at 0
    //  the machine is suspended for the timeout, which one of the clocks does not see
    //  is cancelled                  are refused
    @Test func `time for which the machine was suspended counts against an owner`() async throws {
        let clock = ManualClock()
        let log = try await open(time: TimeSource(clock, suspending: ManualClock()))
        try await log.persist(event("a"))
        let gate = Gate()
        let wasCancelled = Mutex(false)
        let worker = log.processor("worker", configuration: configuration) { _ in
            await withTaskCancellationHandler {
                await gate.pass()
            } onCancel: {
                wasCancelled.withLock { $0 = true }
            }
        }
        try await running(worker) {
            await gate.arrivals()
            store.setHook { operation, moment in
                if case .beat = operation, moment == .before {
                    throw TidemarkError.storeUnavailable(store: "memory", problem: "the network is gone")
                }
            }
            defer {
                store.setHook(nil)
                gate.open()
            }
            clock.advance(by: configuration.silenceTimeout)
            try await eventually { wasCancelled.withLock { $0 } }
        }
        await log.shutDown()
    }

    // MARK: Several processes

    @Test func `two processes share the partitions, and who leaves gives its share back`() async throws {
        let log = try await open()
        let first = log.processor("worker", configuration: configuration) { [calls] in calls.add($0) }
        let second = log.processor("worker", configuration: configuration) { [calls] in calls.add($0) }
        try await running(first) {
            try await eventually { first.partitions.count == 4 }
            try await running(second) {
                try await eventually { first.partitions.union(second.partitions).count == 4 }
                for number in 0..<50 { try await log.persist(event("e\(number)", key: "k\(number % 10)")) }
                try await eventually { position == 50 }
            }
            try await eventually { first.partitions.count == 4 }
            try await log.persist(event("last"))
            try await eventually { position == 51 }
        }
        #expect(calls.ids.count == 51 && Set(calls.ids).count == 51)
        await log.shutDown()
    }

    //  first                         second
    //  handles a
    //  its heartbeats are refused
    //                                claims the partition
    //                                must not handle b before a has returned: it may
    //  was cancelled
    @Test func `an owner that cannot show that it lives cancels its handlers before another one begins`() async throws {
        let log = try await open()
        try await log.persist(event("a", key: "k"))
        var configuration = configuration
        configuration.partitions = 1
        let gate = Gate()
        let running = Mutex<[String]>([])
        let first = log.processor("worker", configuration: configuration) { event in
            running.withLock { $0.append("first begins") }
            await withTaskCancellationHandler {
                await gate.pass()
            } onCancel: {
                gate.open()
            }
            running.withLock { $0.append("first ends") }
            try Task.checkCancellation()
        }
        let claim = Mutex<Set<ProcessorProcess>>([])
        let task = Task { try await first.run() }
        await gate.arrivals()
        // From now on the database takes nothing of the first process.
        let silent = store.database.streams["events"]?.processors["worker"]?.processes.keys.first
        store.setHook { operation, moment in
            guard moment == .before else { return }
            switch operation {
            case .beat(let process) where process == silent, .claimPartitions(let process) where process == silent:
                throw TidemarkError.storeUnavailable(store: "memory", problem: "the network is gone")
            case .claimPartitions(let process): claim.withLock { _ = $0.insert(process) }
            default: break
            }
        }
        let second = log.processor("worker", configuration: configuration) { event in
            running.withLock { $0.append("second begins") }
        }
        try await self.running(second) { try await eventually { position == 1 } }
        #expect(running.withLock { $0 } == ["first begins", "first ends", "second begins"])
        store.setHook(nil)
        task.cancel()
        _ = await task.result
        await log.shutDown()
    }

    @Test func `a consumer that is moved while it runs goes on from there`() async throws {
        let log = try await open()
        try await log.persist([event("a"), event("b")])
        let worker = log.processor("worker", configuration: configuration) { [calls] in calls.add($0) }
        try await running(worker) {
            try await eventually { position == 2 }
            _ = try await store.moveConsumer("worker", in: "events", to: .beginning)
            try await eventually { calls.ids.count == 4 && position == 2 }
        }
        await log.shutDown()
    }

    @Test func `another number of partitions is an error`() async throws {
        let log = try await open()
        let worker = log.processor("worker", configuration: configuration) { _ in }
        try await running(worker) { try await eventually { worker.partitions.count == 4 } }
        let other = log.processor("worker", configuration: ProcessorConfiguration(partitions: 5)) { _ in }
        await #expect {
            try await other.run()
        } throws: { error in
            if case TidemarkError.partitionsDiffer = error { true } else { false }
        }
        await log.shutDown()
    }

    // MARK: After an unclean end

    @Test func `an event that ends its process again and again is parked`() async throws {
        let log = try await open()
        try await log.persist([event("a"), event("b")])
        var configuration = configuration
        configuration.maximumAttempts = 2
        configuration.partitions = 1
        // None comes to a second attempt between the end of its handler and its own.
        configuration.longestDelay = .seconds(600)
        configuration.shortestDelay = configuration.longestDelay
        // Each process ends while it handles the event: its rows stay as they are, and it is gone.
        for _ in 0..<4 {
            let gate = Gate()
            let worker = log.processor("worker", configuration: configuration) { [calls] event in
                guard event.event.id == "a" else { return }
                calls.add(event)
                await gate.pass()
                throw CancellationError()
            }
            // Before it runs: it may be quick.
            let isToEnd = try await log.parkedIsEmpty(of: "worker") && calls.ids.count < 3
            let task = Task { try await worker.run() }
            if isToEnd {
                await gate.arrivals()
                let process = try #require(
                    store.database.streams["events"]?.processors["worker"]?.partitions[0].owner)
                // From here on nothing of it reaches the database.
                store.setHook { operation, moment in
                    if moment == .before { throw TidemarkError.storeUnavailable(store: "memory", problem: "gone") }
                }
                gate.open()
                task.cancel()
                _ = await task.result
                store.setHook(nil)
                store.endProcess(process, of: processor)
            } else {
                try await eventually { position == 2 }
                gate.open()
                task.cancel()
                _ = await task.result
            }
        }
        let parked = try await log.parkedEvents(of: "worker")
        #expect(parked.map { $0.event?.event.id } == ["a"] && position == 2)
        // Once before anybody counted, and twice after.
        #expect(calls.ids.count == 3)
        await log.shutDown()
    }
}

extension EventLog {
    fileprivate func parkedIsEmpty(of consumer: ConsumerName) async throws -> Bool {
        do {
            return try await parkedEvents(of: consumer).isEmpty
        } catch TidemarkError.unknownConsumer {
            return true
        }
    }
}
