import Foundation
import Synchronization
import TestSupport
import Testing
import Tidemark
import TidemarkPostgreSQL
import TidemarkTesting

/// Two hosts in network namespaces, each with a cable to this machine, where the server is. They go with this object.
private final class TwoHosts: Sendable {
    /// Whether this process may make such hosts.
    static let isAllowed: Bool = {
        guard getuid() == 0 else { return false }
        let name = "tm-try-\(getpid())"
        guard (try? ip("netns", "add", name)) != nil else { return false }
        defer { try? ip("netns", "delete", name) }
        return (try? ip("netns", "exec", name, "true")) != nil
    }()

    let names: [String]
    private let cables: [String]
    /// Of this machine, as each host knows it.
    let addresses: [String]

    init() throws {
        let number = getpid() % 10_000
        names = (0..<2).map { "tm-host-\(number)-\($0)" }
        cables = (0..<2).map { "tmc\(number)\($0)" }
        addresses = (0..<2).map { "10.\(200 + $0).\(number / 100).1" }
        for (index, name) in names.enumerated() {
            let there = addresses[index].dropLast() + "2"
            try Self.ip("netns", "add", name)
            try Self.ip("link", "add", cables[index], "type", "veth", "peer", "name", "cable", "netns", name)
            try Self.ip("address", "add", addresses[index] + "/24", "dev", cables[index])
            try Self.ip("link", "set", cables[index], "up")
            try Self.ip("-n", name, "address", "add", there + "/24", "dev", "cable")
            try Self.ip("-n", name, "link", "set", "cable", "up")
            try Self.ip("-n", name, "link", "set", "lo", "up")
        }
    }

    deinit {
        // The cables go with them.
        for name in names { try? Self.ip("netns", "delete", name) }
    }

    func cut(_ index: Int) throws { try Self.ip("link", "set", cables[index], "down") }
    func mend(_ index: Int) throws { try Self.ip("link", "set", cables[index], "up") }

    private static func ip(_ arguments: String...) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/sbin/ip")
        process.arguments = arguments
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw TookTooLong("ip \(arguments.joined(separator: " ")) failed")
        }
    }
}

@Suite(
    .serialized,
    .enabled("network namespaces need root, and PostgreSQL a server") {
        TwoHosts.isAllowed && PostgresServerProcess.isInstalled
    })
struct HostTests {
    /// How long the cable is out: longer than anything here waits for it.
    private static let outage = Duration.seconds(20)
    /// Within which readers pass a host whose cable is cut, and by how much more on a machine that does other things too.
    private static let bar = Duration.seconds(6)
    private static let slack = 2.0

    @Test func `a host that is cut off holds nobody up, and what it would still commit is refused`() async throws {
        let hosts = try TwoHosts()
        // Whoever comes over one of the cables is let in.
        let rules = FileManager.default.temporaryDirectory.path + "/tidemark-hba-\(UUID().uuidString)"
        try "local all all trust\nhost all all 127.0.0.1/32 trust\nhost all all 10.0.0.0/8 trust\n".write(
            toFile: rules, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(atPath: rules) }
        try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: rules)
        let server = try await PostgresServerProcess([
            "listen_addresses='127.0.0.1,\(hosts.addresses.joined(separator: ","))'", "hba_file='\(rules)'",
        ])
        let folder = try TemporaryFolder()
        func address(_ host: Int) -> String {
            "host=\(hosts.addresses[host]) port=\(server.port) dbname=postgres user=postgres"
        }
        func program(on host: Int, _ executable: String, _ arguments: [String]) throws -> Program {
            try Program(
                executable: URL(fileURLWithPath: "/usr/sbin/ip"),
                ["netns", "exec", hosts.names[host], executable] + arguments)
        }
        func puppet(_ name: String, on host: Int) async throws -> Program {
            let puppet = try program(
                on: host, Program.executable("CrashTest").path,
                ["puppet", "--folder", folder.path, "--server", address(host), "--instance", name])
            try await puppet.waitForLine("ready")
            return puppet
        }
        let (first, second) = (try await puppet("p1", on: 0), try await puppet("p2", on: 1))
        try await server.sql("CREATE TABLE letters (id bigint)")
        first.write("persist a")
        try await first.waitForLine("acknowledged")

        // On the first host: a scope that is open, and a transaction of somebody's own with another ID.
        first.write("scope late")
        let held = try #require(Int64(try await first.waitForLine("held ")))
        first.write("reserve")
        let reserved = try await first.waitForLine("reserved ").split(separator: " ", maxSplits: 1)
        let client = try program(
            on: 0, "/usr/bin/psql", ["-X", "-d", address(0) + " tcp_user_timeout=3000", "-f", "-"])
        client.write("BEGIN; INSERT INTO letters VALUES (\(reserved[0])); \(reserved[1]); SELECT 'it is open';")
        try await eventually("the transaction is open") { client.lines.contains { $0.contains("it is open") } }

        let store = try await PostgreSQLEventStore.open(PostgresConfiguration(server.address()))
        let reader = try await EventLog.open(store, stream: stream)
        let service = Task { try await reader.run() }
        let begin = ContinuousClock.now
        try hosts.cut(0)
        second.write("persist b")
        try await second.waitForLine("acknowledged")
        let newest = try #require(try await store.status(of: stream)?.newestEvent)
        #expect(newest.rawValue > held)
        try await reader.waitFor(newest)
        let passed = begin.duration(to: .now)
        #expect(passed < Self.bar * Self.slack, "readers passed the host after \(passed)")
        print("readers passed a host that was cut off, with an open transaction, after \(passed)")
        #expect(try await reader.readable() == ["a", "b"])

        // The cable is back only when all of that is long over: this is the outage itself, and nothing that is hoped for.
        try await ContinuousClock().sleep(until: begin + Self.outage)
        try hosts.mend(0)
        client.write("COMMIT;")
        client.endInput()
        _ = try await client.outcome()
        first.write("go")
        #expect(try await first.waitForLine("refused late: ") == "closed \(held)")
        try await first.waitForLine("over ")
        first.write("persist c")
        try await eventually("the first host goes on") { first.lines.contains { $0.hasSuffix(" c") } }
        let last = try #require(try await store.status(of: stream)?.newestEvent)
        try await reader.waitFor(last)
        #expect(try await reader.readable() == ["a", "b", "c"])
        #expect(try await server.sql("SELECT count(*) FROM letters").trimmingCharacters(in: .newlines) == "0")
        service.cancel()
        try await service.value
        try await first.end()
        try await second.end()
        await store.close()
    }
}
