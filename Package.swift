// swift-tools-version: 6.2
import PackageDescription

let settings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    // For `@_lifetime`: events that are borrowed from a row cannot outlive it.
    .enableExperimentalFeature("Lifetimes"),
]

/// Only with the trait `Configuration`.
let configuration = Target.Dependency.product(
    name: "Configuration", package: "swift-configuration", condition: .when(traits: ["Configuration"]))

let package = Package(
    name: "tidemark",
    platforms: [.macOS(.v15)],
    products: [
        .library(name: "Tidemark", targets: ["Tidemark"]),
        .library(name: "TidemarkCore", targets: ["TidemarkCore"]),
        .library(name: "TidemarkWire", targets: ["TidemarkWire"]),
        .library(name: "TidemarkSQLite", targets: ["TidemarkSQLite"]),
        .library(name: "TidemarkReplication", targets: ["TidemarkReplication"]),
        .library(name: "TidemarkRedis", targets: ["TidemarkRedis"]),
        .library(name: "TidemarkPostgreSQL", targets: ["TidemarkPostgreSQL"]),
        .library(name: "TidemarkHomeserver", targets: ["TidemarkHomeserver"]),
        .library(name: "TidemarkTesting", targets: ["TidemarkTesting"]),
        .library(name: "TidemarkDashboard", targets: ["TidemarkDashboard"]),
        .executable(name: "tidemark", targets: ["TidemarkCLI"]),
    ],
    traits: [
        .trait(
            name: "Dashboard",
            description: "The live page: TidemarkDashboard, and `tidemark dashboard`. Fetches Hummingbird."),
        .trait(
            name: "Configuration",
            description:
                "Logs, stores and transports from a reader of swift-configuration: `EventLogConfiguration(reading:)`."),
    ],
    dependencies: [
        // The deque of IDs in flight and the heap of deadlines.
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        // What a server already logs, measures and stops its services with.
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        // Spans around what is done in the background, for whoever follows a row from process to process.
        .package(url: "https://github.com/apple/swift-distributed-tracing", from: "1.7.0"),
        // Settings from the environment and from files. Only with the trait `Configuration`; without it nobody fetches it.
        .package(url: "https://github.com/apple/swift-configuration", from: "1.4.0"),
        // SQLite: connections, transactions, errors. Only TidemarkSQLite uses it.
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        // Sockets. Only TidemarkReplication and TidemarkRedis use it.
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
        // TLS, between machines and to a broker. Only TidemarkReplication and TidemarkRedis use it.
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.0"),
        // The arguments of the program `tidemark`. No library uses it.
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        // The server of the live page. Fetched with the trait Dashboard alone.
        .package(
            url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.0", traits: ["FullFoundation"]),
    ],
    targets: [
        .target(
            name: "TidemarkCore",
            dependencies: [
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "HeapModule", package: "swift-collections"),
            ],
            swiftSettings: settings),
        // The commands of the replication: values, parsing, printing.
        .target(name: "TidemarkWire", dependencies: ["TidemarkCore"], swiftSettings: settings),
        .target(
            name: "Tidemark",
            dependencies: [
                "TidemarkCore", "TidemarkWire",
                .product(name: "DequeModule", package: "swift-collections"),
                configuration,
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Metrics", package: "swift-metrics"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "Tracing", package: "swift-distributed-tracing"),
            ],
            swiftSettings: settings),
        // `statx`, which Swift does not see.
        .target(name: "CFileIdentity", cSettings: [.define("_GNU_SOURCE")]),
        .target(
            name: "TidemarkSQLite",
            dependencies: [
                "Tidemark", "CFileIdentity", configuration,
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "GRDBSQLite", package: "GRDB.swift"),
                .product(name: "Logging", package: "swift-log"),
            ],
            exclude: ["DESIGN.md"],
            // A symbolic link to the one copy of the schema at the top of the package.
            resources: [.embedInCode("Schema/schema.sql")],
            swiftSettings: settings),
        .target(
            name: "TidemarkReplication",
            dependencies: [
                "Tidemark", configuration,
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ],
            exclude: ["DESIGN.md"],
            swiftSettings: settings),
        // hiredis 0.14 or later: reads and formats the protocol of Redis. No `pkgConfig`: the compiler finds it without.
        .systemLibrary(name: "CHiredis", providers: [.apt(["libhiredis-dev"]), .brew(["hiredis"])]),
        .target(
            name: "TidemarkRedis",
            dependencies: [
                "Tidemark", "CHiredis", configuration,
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOTLS", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ],
            swiftSettings: settings),
        // libpq 14 or later: the connections to PostgreSQL. No `pkgConfig`: the compiler finds it without.
        .systemLibrary(name: "CLibpq", providers: [.apt(["libpq-dev"]), .brew(["libpq"])]),
        .target(
            name: "TidemarkPostgreSQL",
            dependencies: ["Tidemark", "CLibpq", configuration, .product(name: "Logging", package: "swift-log")],
            exclude: ["DESIGN.md", "Schema/rights.sql"],
            resources: [
                .embedInCode("Schema/schema.sql"), .embedInCode("Schema/functions-writing.sql"),
                .embedInCode("Schema/functions-membership.sql"), .embedInCode("Schema/functions-reading.sql"),
                .embedInCode("Schema/functions-moving.sql"), .embedInCode("Schema/functions-outcomes.sql"),
                .embedInCode("Schema/functions-pruning.sql"), .embedInCode("Schema/functions-keys.sql"),
                .embedInCode("Schema/functions-processing.sql"),
            ],
            swiftSettings: settings),
        // Following the streams of Matrix homeservers.
        .target(
            name: "TidemarkHomeserver",
            dependencies: [
                "Tidemark",
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "HeapModule", package: "swift-collections"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Metrics", package: "swift-metrics"),
                .product(name: "Tracing", package: "swift-distributed-tracing"),
            ],
            swiftSettings: settings),
        .target(
            name: "TidemarkTesting",
            dependencies: ["Tidemark", .product(name: "Logging", package: "swift-log")], swiftSettings: settings),
        // The live page. Without its trait there is nothing in it.
        .target(
            name: "TidemarkDashboard",
            dependencies: [
                "Tidemark", .product(name: "Logging", package: "swift-log"),
                .product(name: "Hummingbird", package: "hummingbird", condition: .when(traits: ["Dashboard"])),
            ],
            resources: [
                .embedInCode("Page/page.html"), .embedInCode("Page/page.css"), .embedInCode("Page/page.js"),
            ],
            swiftSettings: settings),
        .executableTarget(
            name: "TidemarkCLI",
            dependencies: [
                "Tidemark", "TidemarkSQLite", "TidemarkPostgreSQL", "TidemarkReplication", "TidemarkRedis",
                "TidemarkDashboard",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Hummingbird", package: "hummingbird", condition: .when(traits: ["Dashboard"])),
                .product(name: "HummingbirdCore", package: "hummingbird", condition: .when(traits: ["Dashboard"])),
                .product(name: "HummingbirdTLS", package: "hummingbird", condition: .when(traits: ["Dashboard"])),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ],
            swiftSettings: settings),
        .executableTarget(
            name: "QuickStart",
            dependencies: ["Tidemark", "TidemarkSQLite", "TidemarkReplication"],
            path: "Examples/QuickStart",
            swiftSettings: settings),
        .executableTarget(
            name: "PostgreSQLQuickStart",
            dependencies: ["Tidemark", "TidemarkPostgreSQL"],
            path: "Examples/PostgreSQLQuickStart",
            swiftSettings: settings),
        .executableTarget(
            name: "Outbox",
            dependencies: ["Tidemark", "TidemarkSQLite", .product(name: "GRDB", package: "GRDB.swift")],
            path: "Examples/Outbox",
            swiftSettings: settings),
        .executableTarget(
            name: "ReadModel",
            dependencies: ["Tidemark", "TidemarkSQLite", .product(name: "GRDB", package: "GRDB.swift")],
            path: "Examples/ReadModel",
            swiftSettings: settings),
        .executableTarget(
            name: "Accounts",
            dependencies: ["Tidemark", "TidemarkSQLite"],
            path: "Examples/Accounts",
            swiftSettings: settings),
        .executableTarget(
            name: "Services",
            dependencies: [
                "Tidemark", "TidemarkSQLite", "TidemarkReplication", .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ],
            path: "Examples/Services",
            swiftSettings: settings),
        // What the articles of the documentation show.
        .target(
            name: "Guides",
            dependencies: [
                "Tidemark", "TidemarkSQLite", "TidemarkPostgreSQL", "TidemarkReplication", "TidemarkTesting",
                configuration, .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "Logging", package: "swift-log"),
            ],
            path: "Examples/Guides",
            swiftSettings: settings),
        .testTarget(name: "TidemarkCoreTests", dependencies: ["TidemarkCore"], swiftSettings: settings),
        .testTarget(name: "TidemarkWireTests", dependencies: ["TidemarkWire"], swiftSettings: settings),
        .testTarget(
            name: "TidemarkHomeserverTests",
            dependencies: [
                "TidemarkHomeserver", "TidemarkTesting", "TestSupport",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "MetricsTestKit", package: "swift-metrics"),
                .product(name: "InMemoryTracing", package: "swift-distributed-tracing"),
            ],
            swiftSettings: settings),
        .testTarget(
            name: "TidemarkTests",
            dependencies: [
                "Tidemark", "TidemarkTesting", "TestSupport", .product(name: "Logging", package: "swift-log"),
                .product(name: "MetricsTestKit", package: "swift-metrics"),
                .product(name: "InMemoryTracing", package: "swift-distributed-tracing"),
            ],
            swiftSettings: settings),
        .testTarget(
            name: "TidemarkSQLiteTests",
            dependencies: [
                "TidemarkSQLite", "TidemarkTesting", "TestSupport", .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "GRDBSQLite", package: "GRDB.swift"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings),
        .testTarget(
            name: "TidemarkTestingTests",
            dependencies: ["Tidemark", "TidemarkTesting", "Simulate", "SessionFuzz", "TestSupport"],
            swiftSettings: settings),
        // Sessions with a peer that lies, for tests and for scripts/fuzz.
        .target(
            name: "SessionFuzz",
            dependencies: ["Tidemark", "TidemarkTesting", .product(name: "Logging", package: "swift-log")],
            path: "Tests/Fuzz/Session", swiftSettings: settings),
        // The simulator over fresh seeds for as long as one likes: scripts/simulate.
        .executableTarget(
            name: "Simulate",
            dependencies: [
                "Tidemark", "TidemarkTesting", .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            path: "Tests/Simulate",
            swiftSettings: settings),
        .testTarget(
            name: "TidemarkRedisTests",
            dependencies: [
                "TidemarkRedis", "Tidemark", "TidemarkSQLite", "TidemarkTesting", "TestSupport",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ],
            swiftSettings: settings),
        .testTarget(
            name: "TidemarkPostgreSQLTests",
            dependencies: [
                "TidemarkPostgreSQL", "Tidemark", "TidemarkTesting", "TestSupport",
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings),
        .testTarget(
            name: "TidemarkReplicationTests",
            dependencies: [
                "TidemarkReplication", "TidemarkHomeserver", "TidemarkTesting", "TestSupport",
                .product(name: "Logging", package: "swift-log"),
                // A clock for the farewells of TLS.
                .product(name: "NIOEmbedded", package: "swift-nio"),
            ],
            swiftSettings: settings),
        // Real processes that are killed and stopped: scripts/crash, and what tests of processes start.
        .executableTarget(
            name: "CrashTest",
            dependencies: [
                "Tidemark", "TidemarkSQLite", "TidemarkPostgreSQL", "TidemarkReplication", "TidemarkTesting",
                "TestSupport",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "GRDB", package: "GRDB.swift"),
            ],
            path: "Tests/Crash",
            swiftSettings: settings),
        .testTarget(
            name: "ProcessTests",
            dependencies: [
                "Tidemark", "TidemarkSQLite", "TidemarkPostgreSQL", "TidemarkReplication", "TidemarkTesting",
                "TestSupport",
                "CrashTest",
                .product(name: "GRDB", package: "GRDB.swift"),
            ],
            swiftSettings: settings),
        // A stream that is moved from one store to the other.
        .testTarget(
            name: "MoveTests",
            dependencies: ["Tidemark", "TidemarkPostgreSQL", "TidemarkSQLite", "TidemarkTesting", "TestSupport"],
            swiftSettings: settings),
        .testTarget(
            name: "TidemarkDashboardTests",
            dependencies: [
                "TidemarkDashboard", "Tidemark", "TidemarkTesting",
                .product(name: "Hummingbird", package: "hummingbird", condition: .when(traits: ["Dashboard"])),
                .product(name: "HummingbirdTesting", package: "hummingbird", condition: .when(traits: ["Dashboard"])),
            ],
            swiftSettings: settings),
        // What a configuration says; without the trait only what needs no reader.
        .testTarget(
            name: "TidemarkConfigurationTests",
            dependencies: [
                "Tidemark", "TidemarkSQLite", "TidemarkPostgreSQL", "TidemarkReplication", "TidemarkRedis",
                "TestSupport",
                configuration,
            ],
            swiftSettings: settings),
        // What the README and the style of the code promise.
        .testTarget(name: "ProjectTests", swiftSettings: settings),
        .testTarget(
            name: "TidemarkCLITests",
            dependencies: [
                "TidemarkCLI", "Tidemark", "TidemarkRedis", "TidemarkSQLite", "TidemarkTesting", "TestSupport",
                .product(name: "GRDB", package: "GRDB.swift"),
            ],
            swiftSettings: settings),
        // What several test targets share: programs that are started and sent signals, folders, instances that listen.
        .target(
            name: "TestSupport",
            dependencies: ["Tidemark", "TidemarkHomeserver", .product(name: "Logging", package: "swift-log")],
            path: "Tests/TestSupport", swiftSettings: settings),
    ],
    swiftLanguageModes: [.v6]
)

// For scripts/sanitize --core: the core and its tests alone, because all the rest takes a quarter of an hour to build.
if Context.environment["TIDEMARK_CORE_ONLY"] != nil {
    package.targets.removeAll {
        !["TidemarkCore", "TidemarkCoreTests", "TidemarkWire", "TidemarkWireTests"].contains($0.name)
    }
    package.products.removeAll { !["TidemarkCore", "TidemarkWire"].contains($0.name) }
}

// `TIDEMARK_ONLY=postgresql` leaves out what the store for PostgreSQL and its tests do not need, for the same reason.
if Context.environment["TIDEMARK_ONLY"] == "postgresql" {
    let kept: Set<String> = [
        "TidemarkCore", "TidemarkWire", "Tidemark", "CLibpq", "TidemarkPostgreSQL", "TidemarkHomeserver",
        "TidemarkTesting", "TestSupport", "TidemarkPostgreSQLTests",
    ]
    package.targets.removeAll { !kept.contains($0.name) }
    package.products.removeAll { !kept.contains($0.name) }
}

// For scripts/docs alone: nobody else fetches what builds the documentation.
if Context.environment["TIDEMARK_DOCS"] != nil {
    package.dependencies.append(.package(url: "https://github.com/swiftlang/swift-docc-plugin", from: "1.4.0"))
}
