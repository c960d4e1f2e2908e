#if Configuration
import Configuration
import Synchronization
import TestSupport
import Testing
import Tidemark
import TidemarkPostgreSQL
import TidemarkRedis
import TidemarkReplication
import TidemarkSQLite

/// Logs, stores and transports as a configuration says.
@Suite struct ReadingTests {
    /// As the environment gives it, in the scope `tidemark`.
    private static func reader(
        _ values: [String: String], reporter: (any AccessReporter)? = nil
    ) -> ConfigReader {
        let variables = values.map { (ConfigurationKey.named($0.key).variable, $0.value) }
        return ConfigReader(
            provider: EnvironmentVariablesProvider(environmentVariables: Dictionary(uniqueKeysWithValues: variables)),
            accessReporter: reporter
        ).scoped(to: "tidemark")
    }

    /// Everything that is read, as text: two of them are equal where each setting is.
    private static func all(_ reader: ConfigReader) throws -> [String] {
        let log = try EventLogConfiguration(reading: reader)
        let processor = try ProcessorConfiguration(reading: reader)
        let sqlite = try SQLiteConfiguration(reading: reader)
        let postgres = try PostgresConfiguration(reading: reader)
        let options = try PostgreSQLStoreOptions(reading: reader)
        func texts(_ value: Any) -> [String] {
            Mirror(reflecting: value).children.map { "\($0.label ?? ""): \($0.value)" }
        }
        return [log, processor, sqlite, postgres, options].flatMap(texts).filter { !$0.contains("Logger(") }
    }

    private static let database = ["database": "postgres://localhost/app"]

    @Test func `the defaults are those of the table`() throws {
        var given = Self.database
        for row in try ConfigurationKeyTests.rows() where row.key.contains(".") || row.key == "namespace" {
            given[row.key] = row.value
        }
        let plain = try Self.all(Self.reader(Self.database))
        #expect(given.count > 35 && plain.count > 30)
        #expect(try Self.all(Self.reader(given)) == plain)
    }

    /// Each value goes to its own setting: one that is given changes one line.
    @Test func `every key changes one setting, within its bounds`() throws {
        let plain = try Self.all(Self.reader(Self.database))
        for key in ConfigurationKey.all {
            func expectRefusal(_ value: String) throws {
                var refusal: InvalidConfiguration?
                do {
                    _ = try Self.all(Self.reader(Self.database.merging([key.name: value]) { $1 }))
                } catch let error as InvalidConfiguration {
                    refusal = error
                }
                guard case .invalidValue(key, value, _) = refusal else {
                    Issue.record("\(key) takes \(value): \(refusal.map { "\($0)" } ?? "no error")")
                    return
                }
            }
            var values = Self.database
            switch key.kind {
            case .text, .secret: continue
            case .flag:
                let isTrue = plain.contains { $0 == "\(key.name.split(separator: ".").last ?? ""): true" }
                values[key.name] = isTrue ? "false" : "true"
                if key.name == "postgres.createsTables" { values[key.name] = "false" }
                try expectRefusal("perhaps")
            case .number(let bounds):
                values[key.name] = "\(bounds.upperBound - 1)"
                for value in ["\(bounds.lowerBound - 1)", "\(bounds.upperBound + 1)", "", "1.5", "many"] {
                    try expectRefusal(value)
                }
            case .duration(let bounds):
                // Far enough from every other one that has to be shorter or longer.
                values[key.name] = ConfigurationKey.text(bounds.upperBound - .seconds(1))
                if key.name == "log.heartbeatInterval" { values[key.name] = "900ms" }
                if key.name == "log.silenceTimeout" { values[key.name] = "599s" }
                if key.name == "processor.shortestDelay" { values[key.name] = "59s" }
                let above = ConfigurationKey.text(bounds.upperBound + .milliseconds(1))
                for value in ["0s", above, "", "5", "5 s", "-5s", "1.5s", "5m", "9999999999d", "999999999d"] {
                    try expectRefusal(value)
                }
            }
            let changed = try Self.all(Self.reader(values))
            #expect(zip(plain, changed).count(where: { $0 != $1 }) == 1, "\(key)")
        }
    }

    @Test func `values that do not fit each other are refused`() throws {
        for (key, values) in [
            ("log.silenceTimeout", ["log.heartbeatInterval": "2s"]),
            ("log.retirementTimeout", ["log.silenceTimeout": "20min"]),
            ("processor.longestDelay", ["processor.shortestDelay": "2min"]),
        ] {
            #expect {
                _ = try Self.all(Self.reader(Self.database.merging(values) { $1 }))
            } throws: { error in
                guard case InvalidConfiguration.invalidValue(.named(key), _, _) = error else { return false }
                return true
            }
        }
    }

    @Test func `every key is read, and those that may hold a password as secrets`() throws {
        let reporter = Accesses()
        let reader = Self.reader(Self.database, reporter: reporter)
        _ = try Self.all(reader)
        _ = try SocketTransports.transport(reading: reader, besideDatabase: nil)
        #expect(throws: InvalidConfiguration.missing(.named("replication"))) { try RedisTransport(reading: reader) }
        let (read, secret) = reporter.keys.withLock { $0 }
        // Those that only opening a log reads are in the test of that.
        let expected = Set(ConfigurationKey.all.map(\.name)).subtracting(["stream", "instance"])
        #expect(read.subtracting(["noSuchKeyIsThere"]) == expected)
        #expect(secret == ["database"])
    }

    @Test func `a file gives numbers and flags as such`() throws {
        let values: [AbsoluteConfigKey: ConfigValue] = [
            "log.groupEvents": 7, "log.closesSilentWriters": false, "log.silenceTimeout": "7s",
        ]
        let configuration = try EventLogConfiguration(
            reading: ConfigReader(provider: InMemoryProvider(values: values)))
        #expect(configuration.groupEvents == 7 && !configuration.closesSilentWriters)
        #expect(configuration.silenceTimeout == .seconds(7))
    }

    /// Not the default in silence.
    @Test(arguments: [
        ("log.groupEvents", ConfigValue("seven", isSecret: false)), ("log.silenceTimeout", 7),
        ("log.closesSilentWriters", 1),
    ])
    func `a value of another type is refused`(key: String, value: ConfigValue) {
        let values = [AbsoluteConfigKey(ConfigKey(key)): value]
        #expect {
            try EventLogConfiguration(reading: ConfigReader(provider: InMemoryProvider(values: values)))
        } throws: { error in
            guard case InvalidConfiguration.invalidValue(.named(key), _, _) = error else { return false }
            return true
        }
    }

    @Test(arguments: [
        "postgres://user:geheim@host:99999/db", "host=h password='geheim", "postgres://user:geheim@host/db?geheim=1",
    ])
    func `an address that does not fit shows no password`(address: String) throws {
        do {
            _ = try PostgresConfiguration(reading: Self.reader(["database": address]))
            Issue.record("it was taken")
        } catch {
            #expect(!"\(error)".contains("geheim") && !String(reflecting: error).contains("geheim"))
            #expect("\(error)".contains("TIDEMARK_DATABASE"))
        }
    }

    @Test func `replication names a transport`() throws {
        func transport(_ way: String?, beside path: String? = nil) throws -> (any ReplicationTransport)? {
            try SocketTransports.transport(
                reading: Self.reader(way.map { ["replication": $0] } ?? [:]), besideDatabase: path)
        }
        #expect(try transport(nil) == nil && transport("none", beside: "/tmp/a.db") == nil)
        let folder = try TemporaryFolder()
        #expect(try (transport("auto", beside: folder.database) as? UnixSocketTransport)?.belongsToDatabase == true)
        #expect(try (transport("unix:/run/shop") as? UnixSocketTransport)?.directory == "/run/shop")
        #expect(try (transport("unix:/run/shop/socket") as? UnixSocketTransport)?.directory == "/run/shop")
        #expect(try transport("tcp://127.0.0.1:7000") is TCPTransport)
        for way in ["smoke", "unix: ", "tcp://a:0", "tcp://a:1?trust=/geheim", "redis://:geheim@h/c", ""] {
            #expect {
                _ = try transport(way)
            } throws: { error in
                error is InvalidConfiguration && !"\(error)".contains("geheim")
            }
        }
        let redis = try RedisTransport(reading: Self.reader(["replication": "redis://:geheim@host:7000/shop"]))
        #expect("\(redis.url)" == "redis://host:7000/shop")
        #expect {
            _ = try RedisTransport(reading: Self.reader(["replication": "redis://:geheim@host:0/shop"]))
        } throws: { error in
            error is InvalidConfiguration && !"\(error)".contains("geheim")
        }
    }

    @Test func `a log is opened as its configuration says`() async throws {
        let folder = try TemporaryFolder()
        let reader = Self.reader([
            "database": "sqlite:" + folder.database, "stream": "orders", "instance": "p1", "replication": "none",
        ])
        let store = try await SQLiteEventStore.open(reading: reader)
        #expect(store.path == folder.database)
        let log = try await EventLog.open(store, reading: reader)
        #expect(log.stream == "orders" && log.instance == "p1" && log.writer != nil)
        _ = await log.shutDown()
        let named = try await EventLog.open(store, reading: reader, instance: "p2", transport: nil)
        #expect(named.instance == "p2")
        _ = await named.shutDown()
        let other = Self.reader(["replication": "tcp://127.0.0.1:7000"])
        await #expect(throws: InvalidConfiguration.self) { try await EventLog.open(store, reading: other) }
        await #expect(throws: InvalidConfiguration.missing(.named("database"))) {
            try await SQLiteEventStore.open(reading: other)
        }
        await #expect(throws: InvalidConfiguration.self) {
            try await SQLiteEventStore.open(reading: Self.reader(["database": "postgres://host/db"]))
        }
        await #expect(throws: InvalidConfiguration.self) {
            try await EventLog.open(store, reading: Self.reader(["stream": "a b"]))
        }
        await store.close()
    }
}

/// The keys that were read, without the scope, and those of them that were read as secrets.
private final class Accesses: AccessReporter {
    let keys = Mutex((read: Set<String>(), secret: Set<String>()))

    func report(_ event: AccessEvent) {
        let key = event.metadata.key.components.dropFirst().joined(separator: ".")
        let isSecret = (try? event.result.get())?.isSecret ?? false
        keys.withLock {
            $0.read.insert(key)
            if isSecret { $0.secret.insert(key) }
        }
    }
}
#endif
