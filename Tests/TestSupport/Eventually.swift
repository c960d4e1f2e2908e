/// Something that was waited for did not happen.
public struct TookTooLong: Error, CustomStringConvertible {
    public let description: String

    public init(_ description: String) { self.description = description }
}

/// Waits until it is true, for up to a minute.
public func eventually(
    _ what: String = "it", within limit: Duration = .seconds(60), isolation: isolated (any Actor)? = #isolation,
    _ isTrue: () async throws -> Bool
) async throws {
    let clock = ContinuousClock()
    let deadline = clock.now + limit
    while try await !isTrue() {
        guard clock.now < deadline else { throw TookTooLong("\(what) did not become true within \(limit)") }
        try await clock.sleep(for: .milliseconds(5))
    }
}
