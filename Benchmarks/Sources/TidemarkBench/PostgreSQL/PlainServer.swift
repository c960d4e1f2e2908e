import ArgumentParser
import Foundation
import PlainPostgreSQL

/// A plain loop over libpq.
final class PlainServer {
    private let connection: OpaquePointer
    private var count: Int64 = 0

    init(address: String) throws {
        guard let connection = plain_server_connect(address) else {
            throw Failure("a plain connection to PostgreSQL cannot be made")
        }
        self.connection = connection
    }

    deinit { plain_server_close(connection) }

    func run(_ sql: String) throws {
        guard plain_server_run(connection, sql) == 0 else { throw failure("run a statement") }
    }

    func ask(_ sql: String) throws -> String {
        guard let answer = plain_server_ask(connection, sql) else { throw failure("ask") }
        return String(cString: answer)
    }

    /// The table, in a database with Tidemark's schema.
    func make() throws {
        guard plain_server_make(connection) == 0 else { throw failure("make a table") }
    }

    /// One transaction with new events; the id of the last of them.
    @discardableResult
    func persist(_ events: Int, prefix: String) throws -> String {
        guard plain_server_persist(connection, prefix, count, Int32(events)) == 0 else { throw failure("persist") }
        count += Int64(events)
        let digits = String(count - 1)
        return prefix + "-" + String(repeating: "0", count: max(0, 9 - digits.count)) + digits
    }

    func notify() throws {
        guard plain_server_notify(connection) == 0 else { throw failure("notify") }
    }

    /// What arrives until nothing has come for `silence` seconds after `count` events, or the time is over.
    func follow(_ count: Int, atMost seconds: Double, listening: () -> Void) throws -> [Arrival] {
        final class Box { var arrivals: [Arrival] = [] }
        let box = Box()
        guard plain_server_listen(connection) == 0 else { throw failure("listen") }
        listening()
        var after: Int64 = 0
        let end = MonotonicTime.now + Int64(seconds * 1e9)
        while box.arrivals.count < count, MonotonicTime.now < end {
            let code = plain_server_follow(
                connection, &after, 100,
                { context, id, streamID in
                    guard let context, let id else { return }
                    let now = MonotonicTime.now
                    // Safe: the box is held by whoever called, on this thread.
                    Unmanaged<Box>.fromOpaque(context).takeUnretainedValue().arrivals.append(
                        Arrival(id: String(cString: id), streamID: streamID, time: now))
                }, Unmanaged.passUnretained(box).toOpaque())
            guard code == 0 else { throw failure("follow") }
        }
        return box.arrivals
    }

    /// Reads all of Tidemark's events; how many there are.
    func readAll(stream: Int, batch: Int) throws -> Int {
        var sum: Int64 = 0
        let count = plain_server_read(connection, Int32(stream), Int32(batch), &sum)
        guard count >= 0, sum != 0 || count == 0 else { throw failure("read") }
        return Int(count)
    }

    private func failure(_ verb: String) -> Failure {
        Failure("a plain connection cannot \(verb): \(String(cString: plain_server_error(connection)))")
    }
}

/// The process of a plain loop on a server.
struct PlainServerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "plain-server", shouldDisplay: false)

    @Option var database: String
    @Option var prefix: String

    func run() async throws {
        let plain = try PlainServer(address: database)
        Participant.say(["ready"])
        for await command in Participant.commands {
            let numbers = command.dropFirst().compactMap { Double($0) }
            switch (command[0], numbers.count) {
            case ("saturate", 2):
                let saturation = try Saturation.of(seconds: numbers[0]) { _ in
                    try plain.persist(Int(numbers[1]), prefix: prefix)
                }
                Participant.say([saturation.line, "done"])
            case ("paced", 2):
                Participant.say(try await Self.paced(plain, prefix, count: Int(numbers[0]), rate: Int(numbers[1])))
                Participant.say(["done"])
            case ("follow", 2):
                let arrivals = try plain.follow(Int(numbers[0]), atMost: numbers[1]) { Participant.say(["listening"]) }
                Participant.say(arrivals.map(\.line) + ["done"])
            default: throw Failure("a plain loop does not know \(command)")
            }
        }
    }

    /// Events at a fixed rate, each told of when it was committed. Answers with the id of each and when that was.
    private static func paced(_ plain: PlainServer, _ prefix: String, count: Int, rate: Int) async throws -> [String] {
        var commits: [String] = []
        let start = MonotonicTime.now
        for number in 0..<count {
            try await MonotonicTime.sleep(until: start + Int64(number) * 1_000_000_000 / Int64(rate))
            let id = try plain.persist(1, prefix: prefix)
            commits.append("\(id) \(MonotonicTime.now)")
            try plain.notify()
        }
        return commits
    }
}
