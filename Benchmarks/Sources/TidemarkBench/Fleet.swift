import Foundation

/// Eight writers and a background reader, each in a process of its own, on a new database.
final class Fleet {
    static let size = 8

    let database: String
    let writers: [ChildProcess]
    let reader: ChildProcess
    private let folder: ScenarioFolder

    /// Starts them, and returns once all writers have joined and everyone knows them.
    ///
    /// - Parameters:
    ///   - redis: the URL of a channel, in mode redis.
    ///   - database: where it is on a server; nil for a new file.
    init(mode: Mode, redis: String? = nil, database: String? = nil, options: BenchOptions) async throws {
        folder = try ScenarioFolder(options)
        self.database = database ?? folder.path("events.db")
        let channel = redis.map { ["--redis", $0] } ?? []
        let shared = ["--database", self.database, "--mode", mode.rawValue, "--data", options.data] + channel
        writers = try (1...Self.size).map { number in
            try ChildProcess(name: "writer p\(number)", arguments: ["worker", "--instance", "p\(number)"] + shared)
        }
        for writer in writers { _ = try await writer.lines(until: "ready") }
        reader = try ChildProcess(name: "the reader", arguments: ["reader"] + shared)
        _ = try await reader.lines(until: "ready")
        for writer in writers {
            _ = try await writer.ask("members")
        }
    }

    func end() {
        reader.end()
        for writer in writers { writer.end() }
        folder.remove()
    }
}
