import Tidemark

extension EventLog {
    /// Runs the log for as long as `body` takes; then the log is shut down, however the body ended.
    ///
    /// - Throws: why the log ended by itself, another process took its name say, or what the body throws.
    func running(_ body: @escaping @Sendable () async throws -> Void) async throws {
        enum Ended: Sendable {
            case log(Result<Void, any Error>)
            case body(Result<Void, any Error>)
        }
        let results = await withTaskGroup(of: Ended.self) { group in
            group.addTask { .log(await Result.catching { try await self.run() }) }
            group.addTask { .body(await Result.catching { try await body() }) }
            var results: [Ended] = []
            for await ended in group {
                results.append(ended)
                group.cancelAll()
            }
            return results
        }
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
