#if Dashboard
import Foundation
import Logging
import Tidemark

/// Looks at the database once for all who look at the page, and only while somebody does.
actor DashboardFeed {
    /// As much as the page shows of the past, in looks.
    private static let history = 240

    private let source: DashboardSource
    private let configuration: DashboardConfiguration
    private let encoder = JSONEncoder()
    private var viewers: [Int: AsyncStream<String>.Continuation] = [:]
    private var viewersBegun = 0
    private var looking: Task<Void, Never>?
    private var looks: [String] = []

    init(_ source: DashboardSource, _ configuration: DashboardConfiguration) {
        self.source = source
        self.configuration = configuration
    }

    /// What a viewer is sent from now on: the past that is known, and each look. A viewer that reads too slowly misses old looks.
    /// Nil where there are too many viewers already.
    func addViewer() -> AsyncStream<String>? {
        guard viewers.count < configuration.maximumViewers else { return nil }
        viewersBegun += 1
        let number = viewersBegun
        let (stream, continuation) = AsyncStream.makeStream(of: String.self, bufferingPolicy: .bufferingNewest(8))
        continuation.onTermination = { _ in Task { await self.removeViewer(number) } }
        continuation.yield("event: past\ndata: [\(looks.joined(separator: ","))]\n\n")
        viewers[number] = continuation
        if looking == nil { looking = Task { await look() } }
        return stream
    }

    private func removeViewer(_ number: Int) {
        viewers[number] = nil
        if viewers.isEmpty {
            looking?.cancel()
            looking = nil
        }
    }

    private func look() async {
        let clock = ContinuousClock()
        while !Task.isCancelled {
            let began = clock.now
            let look = await source.look()
            // A database for which it is much work is asked less often: it takes a fiftieth of the time at most.
            let pause = max(configuration.interval, (clock.now - began) * 50)
            guard !Task.isCancelled else { return }
            if let text = try? String(decoding: encoder.encode(look), as: UTF8.self) {
                looks = (looks + [text]).suffix(Self.history)
                for viewer in viewers.values { viewer.yield("event: look\ndata: \(text)\n\n") }
            }
            try? await clock.sleep(until: began + pause)
        }
    }
}
#endif
