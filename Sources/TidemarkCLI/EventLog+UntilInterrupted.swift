import Tidemark

extension EventLog {
    /// Runs the log for as long as `body` takes; then the log is shut down, however the body ended. Where the writer
    /// cannot leave in time, a line on standard error says so.
    ///
    /// - Parameter interruption: after its signal the body has three quarters of the time that the program may take to
    ///   end, and is cancelled then; nil where it is cancelled by others.
    /// - Throws: why the log ended by itself, another process took its name say, or what the body throws.
    func running(
        until interruption: Interruption? = nil, _ body: @escaping @Sendable () async throws -> Void
    ) async throws {
        enum Ended: Sendable {
            case log(Result<Void, any Error>)
            case body(Result<Void, any Error>)
        }
        let results = await withTaskGroup(of: Ended.self) { group in
            group.addTask { .log(await Result.catching { try await self.run() }) }
            group.addTask {
                guard let interruption else { return .body(await Result.catching { try await body() }) }
                let result = await Result.catching { try await interruption.limiting(body) }
                // Before the log is cancelled: it has what is left of the time.
                await self.shutDown(within: max(interruption.timeLeft, .seconds(1)))
                return .body(result)
            }
            var results: [Ended] = []
            for await ended in group {
                results.append(ended)
                group.cancelAll()
            }
            return results
        }
        let outcome = await shutDown()
        if case .stillMember = outcome { StandardStreams.writeError("tidemark: \(outcome)") }
        // What ended the log is why the body could not go on.
        for case .log(let result) in results { try result.get() }
        do {
            for case .body(let result) in results { try result.get() }
        } catch TidemarkError.stopped {
            // Both were cancelled, and the log was the faster one to end.
            throw CancellationError()
        }
    }
}

extension Interruption {
    /// Runs `body`, and cancels it when three quarters of the time are over that the program may take after a signal.
    fileprivate func limiting(_ body: @escaping @Sendable () async throws -> Void) async throws {
        let task = Task { try await body() }
        let limit = Self.limit * 3 / 4
        onRequest {
            Task {
                try await Task.sleep(for: limit)
                task.cancel()
            }
        }
        do {
            try await withTaskCancellationHandler {
                try await task.value
            } onCancel: {
                task.cancel()
            }
        } catch is CancellationError where isRequested {
            throw EndedTooLate(limit: limit)
        }
    }
}

/// What was under way when the signal came did not end in time.
struct EndedTooLate: ProgramError {
    let limit: Duration

    var status: ExitStatus { .tryLater }
    var description: String {
        "what was read could not all be persisted within \(limit) after the signal: give it again; events that are in the "
            + "stream already are not written twice"
    }
}

extension Result where Failure == any Error {
    /// The outcome of `body`.
    static func catching(_ body: () async throws -> Success) async -> Result {
        do {
            return .success(try await body())
        } catch {
            return .failure(error)
        }
    }
}
