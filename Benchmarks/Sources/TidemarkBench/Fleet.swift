import Foundation

/// Eight writers and a background reader, each in a process of its own, on a new database.
final class Fleet {
    static let size = 8

    let database: String
    let writers: [ChildProcess]
    let reader: ChildProcess
    private let folder: URL

    /// Starts them, and returns once all writers have joined and everyone knows them.
    init(mode: Mode, options: BenchOptions) async throws {
        folder = options.folder.appending(path: "tidemark-bench-\(UUID())")
        try FileManager.default.createDirectory(
            at: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        database = folder.appending(path: "events.db").path
        let shared = ["--database", database, "--mode", mode.rawValue, "--data", options.data]
        writers = try (1...Self.size).map { number in
            try ChildProcess(name: "writer p\(number)", arguments: ["worker", "--instance", "p\(number)"] + shared)
        }
        for writer in writers { _ = try await writer.lines(until: "ready") }
        reader = try ChildProcess(name: "the reader", arguments: ["reader"] + shared)
        _ = try await reader.lines(until: "ready")
        for writer in writers {
            try writer.send("members")
            _ = try await writer.lines(until: "done")
        }
    }

    /// Positions that these writers have announced so far.
    func announcements(of writers: some Sequence<ChildProcess>) async throws -> Int {
        var sum = 0
        for writer in writers {
            try writer.send("announced")
            sum += try await writer.lines(until: "done").compactMap { Int($0) }.reduce(0, +)
        }
        return sum
    }

    /// Waits until the reader has seen so many events, or the time is over.
    func waitForArrivals(_ count: Int, atMost limit: Duration) async throws {
        let deadline = ContinuousClock.now + limit
        while ContinuousClock.now < deadline {
            try reader.send("count")
            if let seen = try await reader.lines(until: "done").first.flatMap({ Int($0) }), seen >= count { return }
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    /// What the reader has seen, in its order.
    func arrivals() async throws -> [Arrival] {
        try reader.send("arrivals")
        return try await reader.lines(until: "done").map(Arrival.init(line:))
    }

    func end() {
        reader.end()
        for writer in writers { writer.end() }
        try? FileManager.default.removeItem(at: folder)
    }
}

/// An event in the reader's process.
struct Arrival {
    let id: String
    let streamID: Int64
    let time: Int64

    init(line: String) throws {
        let fields = line.split(separator: " ")
        guard fields.count == 3, let streamID = Int64(fields[1]), let time = Int64(fields[2]) else {
            throw Failure("the reader said \"\(line)\"")
        }
        id = String(fields[0])
        self.streamID = streamID
        self.time = time
    }
}
