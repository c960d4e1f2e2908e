import Logging
import TestSupport
import Testing
import Tidemark
import TidemarkTesting

@testable import TidemarkPostgreSQL

/// LISTEN and NOTIFY between stores of their own, as in processes of their own.
@Suite(.enabled(if: TestCluster.isAvailable), .timeLimit(.minutes(2))) struct NotificationTests {
    private typealias Instance = LinkedInstance<PostgresTransport>

    private static func position(_ writer: Writer, _ new: StreamID) -> ReplicationCommand {
        .position(ReplicationPosition(stream: stream, writer: writer, nonce: 7, previous: new, new: new))
    }

    private static func row(_ id: StreamID, _ json: String) throws -> ReplicationCommand {
        .rdata(
            ReplicationRow(
                stream: stream, writer: Writer("p1", epoch: 1), nonce: 7, token: .id(id),
                row: try JSONText(validating: json)))
    }

    /// Two instances of two stores that are connected, and hear nothing yet that was not said by the test.
    private func withPair(
        _ body: (Instance, Instance, PostgresConfiguration) async throws -> Void
    ) async throws {
        try await withStore { one, configuration in
            try await withStore(at: configuration) { two in
                let first = try await Instance("p1", on: PostgresTransport(one, stream: stream))
                try await first.waitUntilConnected()
                let second = try await Instance("p2", on: PostgresTransport(two, stream: stream))
                try await second.waitUntilConnected()
                // What was asked for when the second one came.
                try await first.waitForReplicate()
                try await body(first, second, configuration)
                await first.connection.close()
                await second.connection.close()
            }
        }
    }

    @Test func `instances hear each other in order, and not themselves`() async throws {
        try await withPair { first, second, _ in
            let said = (1...200).map { Self.position(Writer("p1", epoch: 1), StreamID(Int64($0))) }
            for command in said { first.send(command) }
            #expect(await second.nextCommands(200) == said)
            // What the first one said itself would have come to it before this.
            let answer = Self.position(Writer("p2", epoch: 1), 5)
            second.send(answer)
            #expect(await first.nextCommand() == answer)
            #expect(first.transport.counts == NotificationCounts())
        }
    }

    @Test func `logs of one store hear each other, and other streams and namespaces are not heard`() async throws {
        try await withStore { store, configuration in
            var options = PostgreSQLStoreOptions()
            options.namespace = "other"
            try await withStore(at: configuration, options) { other in
                let first = try await Instance("p1", on: PostgresTransport(store, stream: stream))
                try await first.waitUntilConnected()
                let second = try await Instance("p2", on: PostgresTransport(store, stream: stream))
                try await second.waitUntilConnected()
                let elsewhere = [
                    try await Instance("p3", on: PostgresTransport(store, stream: "other")),
                    try await Instance("p4", on: PostgresTransport(other, stream: stream)),
                ]
                for instance in elsewhere {
                    try await instance.waitUntilConnected()
                    instance.send(Self.position(Writer("p3", epoch: 1), 3))
                }
                // So that what they have said is there before this.
                try await connecting(configuration) { _ = try $0.query("SELECT 1") }
                first.send(Self.position(Writer("p1", epoch: 1), 1))
                #expect(await second.nextCommand() == Self.position(Writer("p1", epoch: 1), 1))
                second.send(Self.position(Writer("p2", epoch: 1), 2))
                #expect(await first.nextCommand() == Self.position(Writer("p2", epoch: 1), 2))
                for instance in elsewhere + [first, second] { await instance.connection.close() }
            }
        }
    }

    @Test func `a connection that the server ends is made anew, with another sign of life, and others are asked`()
        async throws
    {
        try await withPair { first, second, configuration in
            // An idle session of the second one: that which listens.
            try await connecting(configuration) { session in
                let ended = try session.query(
                    """
                    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE datname = current_database() AND query LIKE '%pg_notify%' AND pid <> pg_backend_pid()
                    """)
                #expect(ended.count == 2)
            }
            #expect(await second.waitUntilDisconnected() != nil)
            try await second.waitUntilConnected()
            try await first.waitUntilConnected()
            // Who came back last has asked the other, so that both hear from here on.
            let told = Self.position(Writer("p2", epoch: 1), 9)
            second.send(told)
            #expect(await first.nextCommand() == told)
            #expect(second.transport.counts.failures == 1)
            #expect(second.transport.failure == nil)
        }
    }

    @Test func `a row that is too long is told of by a position, and the others of its ID with it`() async throws {
        try await withPair { first, second, _ in
            let long = "[\"\(String(repeating: "x", count: 9_000))\"]"
            first.send(try Self.row(3, "[\"a\"]"), try Self.row(4, long), try Self.row(5, "[\"b\"]"))
            let heard = await second.nextCommands(3)
            let (before, after) = (try Self.row(3, "[\"a\"]"), try Self.row(5, "[\"b\"]"))
            #expect(heard.first == before)
            guard case .position(let position) = heard[1] else {
                Issue.record("\(heard)")
                return
            }
            #expect(position.previous == 4)
            #expect(position.new == 0)
            #expect(heard.last == after)
            #expect(first.transport.counts.leftOutCommands == 1)
        }
    }

    @Test func `what is not ASCII is escaped, and means the same`() async throws {
        let row = try Self.row(3, "[\"é 😀 \\\"\"]")
        let (payloads, leftOut) = NotificationEncoding.payloads(of: [[row]])
        #expect(leftOut == 0)
        #expect(payloads == ["RDATA events p1#1.7 3 [\"\\u00e9 \\ud83d\\ude00 \\\"\"]"])
        try await withPair { first, second, _ in
            first.send(row)
            let escaped = try Self.row(3, "[\"\\u00e9 \\ud83d\\ude00 \\\"\"]")
            #expect(await second.nextCommand() == escaped)
        }
    }

    @Test func `lines are joined up to what the server takes`() throws {
        let rows = try (1...500).map { try Self.row(StreamID(Int64($0)), "[\"\(String(repeating: "x", count: 60))\"]") }
        let (payloads, leftOut) = NotificationEncoding.payloads(of: [rows])
        #expect(leftOut == 0)
        #expect(payloads.allSatisfy { $0.utf8.count <= 7_999 })
        // None could take the first line of the next one.
        for (payload, next) in zip(payloads, payloads.dropFirst()) {
            let line = next.prefix { $0 != "\n" }
            #expect(payload.utf8.count + 1 + line.utf8.count > 7_999)
        }
        #expect(payloads.joined(separator: "\n") == rows.map(\.line).joined(separator: "\n"))
        // One that is as long as can be, and one that is longer by a byte.
        let most = 7_999 - (try Self.row(1, "[\"\"]")).line.utf8.count
        for (length, isTaken) in [(most, true), (most + 1, false)] {
            let row = try Self.row(1, "[\"\(String(repeating: "x", count: length))\"]")
            #expect(NotificationEncoding.payloads(of: [[row]]).leftOut == (isTaken ? 0 : 1))
        }
    }

    @Test func `what somebody else notifies is counted, and does no harm`() async throws {
        try await withPair { first, second, configuration in
            let channel = NotificationChannel.name("tidemark", stream)
            try await connecting(configuration) { session in
                for payload in ["garbage", "", "NAME me", "POSITION events p1#1 x y", "é\u{1B}[2J\nRDATA", "\n\n"] {
                    _ = try session.query("SELECT pg_notify($1, $2)", [.text(channel), .text(payload)])
                }
            }
            let said = Self.position(Writer("p1", epoch: 1), 1)
            first.send(said)
            #expect(await second.nextCommand() == said)
            #expect(second.transport.counts.skippedLines == 5)
            #expect(second.transport.counts.failures == 0)
        }
    }

    @Test func `rows that the server does not take are told of when it takes something again`() async throws {
        let configuration = try await TestCluster.newDatabase()
        try await withStore(at: configuration) { owner in
            try await connecting(configuration) { session in
                for sql in [
                    "DROP ROLE IF EXISTS quiet", "CREATE ROLE quiet LOGIN", "GRANT USAGE ON SCHEMA tidemark TO quiet",
                    "GRANT SELECT ON ALL TABLES IN SCHEMA tidemark TO quiet",
                    "REVOKE EXECUTE ON FUNCTION pg_notify(text, text) FROM PUBLIC",
                ] { _ = try session.query(sql) }
            }
            let quiet = try PostgresConfiguration(
                configuration.address.parameters.merging(["user": "quiet"]) { $1 }.map { "\($0)=\($1)" }
                    .joined(separator: " "))
            let listener = try await Instance("p2", on: PostgresTransport(owner, stream: stream))
            try await listener.waitUntilConnected()
            try await withStore(at: quiet) { store in
                let transport = PostgresTransport(store, stream: stream)
                let speaker = try await Instance("p1", on: transport)
                try await speaker.waitUntilConnected()
                speaker.send(try Self.row(8, "[\"a\"]"))
                try await eventually("it is refused") { transport.counts.droppedCommands >= 2 }
                #expect(transport.failure?.sqlState == "42501")
                try await connecting(configuration) {
                    _ = try $0.query("GRANT EXECUTE ON FUNCTION pg_notify(text, text) TO PUBLIC")
                }
                let next = Self.position(Writer("p1", epoch: 1), 7)
                speaker.send(next)
                guard case .position(let position) = await listener.nextCommand() else {
                    Issue.record("the row that was dropped is not told of")
                    return
                }
                #expect(position.previous == 8)
                #expect(await listener.nextCommand() == next)
                try await eventually("all is well") { transport.failure == nil }
                await speaker.connection.close()
            }
            await listener.connection.close()
        }
    }

    @Test func `a log takes LISTEN and NOTIFY where no transport is named, and its readers hear it`() async throws {
        try await withStore { one, configuration in
            try await withStore(at: configuration) { two in
                let writer = try await EventLog.open(one, instance: "p1")
                let reader = try await EventLog.open(two)
                let running = [writer, reader].map { log in Task { try await log.run() } }
                let listener = try await Instance("listener", on: PostgresTransport(two, stream: stream))
                try await listener.waitUntilConnected()
                // The writer says where it is as soon as it is connected.
                _ = await listener.nextCommand()
                let ids = try await writer.persist(events("a", "b"))
                var heard: Set<StreamID> = []
                while heard.count < 2, let command = await listener.nextCommand() {
                    if case .rdata(let row) = command, let id = row.heard?.id { heard.insert(id) }
                }
                #expect(heard == Set(ids))
                var read: [String] = []
                for try await batch in reader.events() {
                    read += batch.events.map(\.event.id)
                    if read.count == 2 { break }
                }
                #expect(read == ["a", "b"])
                await listener.connection.close()
                for task in running {
                    task.cancel()
                    try await task.value
                }
            }
        }
    }

    @Test func `a process notifies at once after a quiet time, a few times in a row, and on and on only so often`() {
        var pace = NotificationPace()
        let (interval, burst) = (NotificationPace.interval, NotificationPace.burst)
        let start: Duration = .seconds(9)
        for _ in 0..<burst { #expect(paceNext(&pace, start) == start) }
        #expect(paceNext(&pace, start) == start + interval)
        #expect(paceNext(&pace, start + interval) == start + interval * 2)
        // As often as it may be, and unevenly: never late.
        pace = NotificationPace()
        for number in 0..<1_000 {
            let now = start + interval * number + (number.isMultiple(of: 7) ? interval * 2 : .zero)
            #expect(paceNext(&pace, now) == now)
        }
        // Without a pause: in a second no more than that, and those that come at once.
        pace = NotificationPace()
        var (now, count) = (start, 0)
        while true {
            now = paceNext(&pace, now)
            if now >= start + .seconds(1) { break }
            count += 1
        }
        #expect(count == Int(Duration.seconds(1) / interval) + burst - 1)
    }

    private func paceNext(_ pace: inout NotificationPace, _ now: Duration) -> Duration { pace.next(at: now) }

    //  first                                   second
    //  has said so much that it has to wait
    //  says one thing more, and closes
    //                                          hears it all the same
    @Test func `what is said just before a log closes is not kept back`() async throws {
        let clock = ManualClock()
        try await withStore { store, configuration in
            let second = try await Instance("p2", on: PostgresTransport(store, stream: stream))
            try await second.waitUntilConnected()
            let direct = DirectConnection(configuration)
            try await direct.start()
            let channel = NotificationChannel(
                NotificationChannel.name("tidemark", stream), over: direct, time: TimeSource(clock),
                logger: Logger(label: "test"))
            let connection = channel.connect { _ in }
            // What it says first, as all do.
            try await second.waitForReplicate()
            let said = (1...20).map { Self.position(Writer("p1", epoch: 1), StreamID(Int64($0))) }
            let atOnce = NotificationPace.burst - 1
            for command in said.prefix(atOnce) {
                connection.send([command])
                #expect(await second.nextCommand() == command)
            }
            for command in said.dropFirst(atOnce) { connection.send([command]) }
            // Nobody moves the clock: what waits is sent because its log closes.
            await connection.close()
            #expect(await second.nextCommands(said.count - atOnce) == Array(said.dropFirst(atOnce)))
            clock.advance(by: .seconds(1))
            await second.connection.close()
            await direct.close()
        }
    }

    @Test func `a channel's name is the same everywhere, and fits`() {
        #expect(NotificationChannel.name("tidemark", "events") == NotificationChannel.name("tidemark", "events"))
        #expect(NotificationChannel.name("tidemark", "events") != NotificationChannel.name("tidemark", "event"))
        #expect(NotificationChannel.name("tidemark", "events") != NotificationChannel.name("tidemar", "events"))
        let name = NotificationChannel.name("tidemark", "events")
        #expect(name.utf8.count == 25)
        #expect(name.hasPrefix("tidemark_"))
    }
}
