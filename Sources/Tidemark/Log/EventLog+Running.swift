import Logging
import ServiceLifecycle
import Synchronization

extension EventLog {
    /// Keeps the log going until graceful shutdown, or until the task is cancelled; then ``shutDown()`` ends it.
    ///
    /// - Throws: ``TidemarkError/instanceTaken(stream:writer:by:)`` when another process took the name, or
    ///   ``TidemarkError/databaseWentBackwards(stream:id:problem:)``.
    public func run() async throws {
        generator.changeNow { $0.run(now: $1) }
        let failure = await cancelWhenGracefulShutdown { await self.generator.failure() }
        // In a task of its own, also when this one is cancelled: readers wait for a writer that has not left.
        await shutDown()
        if let failure { throw failure }
    }

    /// The orderly end: takes nothing more, persists what was handed in, leaves. What ``run()`` does at its end; for
    /// programs that do not run the log as a service.
    ///
    /// It takes ``EventLogConfiguration/shutDownTimeLimit`` at most. Three quarters of that are for what was handed in, the last
    /// eighth is for closing connections. Calls that are not under way by then fail with
    /// ``TidemarkError/stopped(stream:instance:)``; the caller of a transaction that has begun is told what became of it, but
    /// is not waited for. Readers pass a writer that could not leave in time once its process has ended or its store is
    /// closed, and otherwise when it has been silent for as long as they allow.
    ///
    /// A second call waits for the first one, and returns the same.
    @discardableResult
    public func shutDown() async -> ShutDownOutcome {
        await shutDown(within: configuration.shutDownTimeLimit)
    }

    /// The same within another limit.
    @discardableResult
    public func shutDown(within limit: Duration) async -> ShutDownOutcome {
        let task = ending.withLock { ending in
            let task = ending ?? Task { await self.end(within: limit) }
            ending = task
            return task
        }
        return await task.value
    }

    private func end(within limit: Duration) async -> ShutDownOutcome {
        let began = time.now
        let deadline = began + limit * 7 / 8
        await persister.drain(then: .stopped(stream: stream, instance: instance), until: began + limit * 3 / 4)
        let rejoining = generator.stop()
        connecting.withLock { $0 }?.cancel()
        generator.wakeWaiters()
        generator.stopTimer()
        if let rejoining {
            // It leaves again by itself: it has seen under the same lock that nobody is to join any more.
            let isOver: Void? = await limited(until: deadline, on: time) { _ = await rejoining.result }
            if isOver == nil { rejoining.cancel() }
        }
        let outcome = await leave(until: deadline, limit)
        _ = await limited(until: began + limit, on: time) { [generator] in await generator.disconnect() }
        return outcome
    }

    private func leave(until deadline: Duration, _ limit: Duration) async -> ShutDownOutcome {
        guard let writer = generator.lastWriter else { return .left }
        let left = await limited(until: deadline, on: time) { [store, stream] () -> Result<Void, any Error> in
            do {
                return .success(try await store.leave(stream, as: writer))
            } catch {
                return .failure(error)
            }
        }
        let problem: String
        switch left {
        case .success: return .left
        case .failure(let error): problem = "\(error)"
        case nil:
            let tenths = (limit / .milliseconds(100)).rounded()
            problem = "the database did not let it within \(Duration.milliseconds(100) * Int(tenths))"
        }
        logger.error("could not leave: readers wait until the writer is closed", metadata: ["error": "\(problem)"])
        return .stillMember(stream: stream, writer: writer, problem: problem)
    }
}

/// What became of the orderly end of a log.
public enum ShutDownOutcome: Hashable, Sendable, CustomStringConvertible {
    /// The writer is no member any more; or the log only read.
    case left
    /// The writer could not leave: readers wait for it until its process has ended or its store is closed, and otherwise
    /// until somebody closes it.
    case stillMember(stream: StreamName, writer: Writer, problem: String)

    /// What a person should know.
    public var description: String {
        switch self {
        case .left: "left"
        case .stillMember(let stream, let writer, let problem):
            "writer \(writer) could not leave stream \(stream): \(problem); readers pass it once its process has ended"
        }
    }
}
