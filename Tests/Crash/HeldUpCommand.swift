import ArgumentParser
import Foundation
import TestSupport
import Tidemark
import TidemarkTesting

/// What must not hold readers up on a PostgreSQL server: a transaction of another database that stays open, and writers that are
/// killed while an ID of theirs is in flight.
struct HeldUpCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "held-up",
        abstract: "Measures readers on PostgreSQL beside a foreign transaction, and when writers are killed.")

    @Option(help: "For how many seconds a transaction of another database is open.") var seconds = 60.0
    @Option(help: "How many milliseconds readers may lag meanwhile.") var lagBar = 50.0
    @Option(help: "How many writers are killed.") var kills = 20
    @Option(help: "Within how many milliseconds each of them has to be passed.") var deathBar = 200.0
    @Option(help: "How many times as long it may take, on a machine that does other things too.") var slack = 1.0

    func run() async throws {
        let folder = try TemporaryFolder()
        // What is measured is who waits for whom, and not the disk.
        let server = try await PostgresServerProcess(["fsync=off"])
        let (database, elsewhere) = (try await server.newDatabase(), try await server.newDatabase())
        let place = ["--server", database]
        let children = Children(folder: folder.path)
        defer { children.killAll() }
        let writer = try await children.start("writer", ["puppet", "--instance", "w1"] + place)
        let reader = try await LagReader(Participant.parse(["--folder", folder.path] + place))
        writer.write("stamps 5")
        try await eventually("events arrive") { reader.count > 200 }
        reader.forget()
        // Nothing is waited for here: this long is measured, to be compared with, for whatever else the machine does holds everybody up.
        try await Task.sleep(for: .seconds(seconds / 4))
        let before = reader.forget()

        let foreign = try Program(
            executable: URL(fileURLWithPath: "/bin/bash"), ["-c", "exec psql -XAtq \"$0\"", elsewhere])
        foreign.write("BEGIN; CREATE TABLE letters (id bigint); INSERT INTO letters VALUES (1); SELECT 'it is open';")
        try await foreign.waitForLines(1)
        reader.forget()
        // Nor here: how long it is open is what is measured.
        try await Task.sleep(for: .seconds(seconds))
        let lags = reader.forget()
        // The newest event below the oldest transaction that runs anywhere in the cluster, which is what is safe to read by that.
        let plain = try await server.sql(
            """
            SELECT extract(epoch FROM clock_timestamp() - max(persisted_at)) FROM tidemark.events
            WHERE transaction < pg_snapshot_xmin(pg_current_snapshot())
            """, at: database)
        foreign.write("SELECT 'it was open';")
        try await foreign.waitForLines(2)
        foreign.endInput()
        _ = try await foreign.outcome()
        print("readers lagged by \(before.summary) before")
        print("a transaction of another database was open for \(seconds) s: readers lagged by \(lags.summary)")
        print("a watermark of transaction ids lagged by \(plain.trimmingCharacters(in: .newlines)) s at its end")
        guard lags.seconds.count > Int(seconds * 10) else { throw Failure("\(lags.seconds.count) events came") }
        guard let plainLag = Double(plain.trimmingCharacters(in: .newlines)), plainLag >= seconds else {
            throw Failure("the plain watermark did not stand still: the transaction was none")
        }

        var passed = Figures()
        for number in 1...kills { passed.add(try await killed(number, children, place, reader)) }
        print("writers that were killed with an ID in flight were passed after: \(passed.summary)")
        try await reader.end()
        guard lags.maximum * 1_000 <= lagBar * slack else { throw Failure("readers lagged by \(lags.maximum) s") }
        guard passed.maximum * 1_000 <= deathBar * slack else {
            throw Failure("a writer that was killed was passed after \(passed.maximum) s")
        }
    }

    /// From the signal to the first event above the ID that it had.
    private func killed(
        _ number: Int, _ children: Children, _ place: [String], _ reader: LagReader
    ) async throws -> Duration {
        let name = "victim\(number)"
        let victim = try await children.start(name, ["puppet", "--instance", name] + place)
        victim.write("scope \(name)")
        try await eventually("\(name) holds an ID") { victim.lines.contains { $0.hasPrefix("held ") } }
        guard let held = victim.lines.first(where: { $0.hasPrefix("held ") }).flatMap({ Int64($0.dropFirst(5)) }) else {
            throw Failure("\(name) does not say which ID it holds")
        }
        // The kill comes at any moment between two looks and two heartbeats; what is waited for follows it.
        try await Task.sleep(for: .milliseconds(Int.random(in: 0..<1_000)))
        guard reader.arrival(above: held) == nil else { throw Failure("the ID \(held) in flight was passed") }
        let died = MonotonicTime.now
        try await children.kill(name)
        var arrived: Int64?
        try await eventually("\(name) is passed") {
            arrived = reader.arrival(above: held)
            return arrived != nil
        }
        reader.forget()
        return .nanoseconds((arrived ?? .max) - died)
    }
}
