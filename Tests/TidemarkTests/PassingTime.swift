import TidemarkTesting

extension ManualClock {
    /// Time goes on, in steps, until the condition holds.
    func pass(inStepsOf step: Duration = .milliseconds(5), until condition: () -> Bool) async {
        while !condition() {
            advance(by: step)
            await Task.yield()
        }
    }

    /// Time goes on, for as long as `body` takes.
    func running(_ body: () async throws -> Void) async throws {
        let ticking = Task {
            while !Task.isCancelled {
                advance(by: .milliseconds(5))
                await Task.yield()
            }
        }
        defer { ticking.cancel() }
        try await body()
    }
}
