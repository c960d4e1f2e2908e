// swift-tools-version: 6.2
import PackageDescription

let settings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

let package = Package(
    name: "tidemark-benchmarks",
    platforms: [.macOS(.v15)],
    dependencies: [
        // Named, so that the folder's name does not matter.
        .package(name: "tidemark", path: ".."),
        // The figures of a run as a page.
        .package(name: "bench-report", path: "BenchReport"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        // Percentiles without averages of averages.
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
        // To name the version of SQLite in the report.
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
    ],
    targets: [
        // The loops in C that the limits are measured with.
        .target(name: "PlainSQLite", linkerSettings: [.linkedLibrary("sqlite3")]),
        .target(name: "PlainPostgreSQL", linkerSettings: [.linkedLibrary("pq")]),
        .executableTarget(
            name: "tidemark-bench",
            dependencies: [
                "PlainSQLite", "PlainPostgreSQL",
                .product(name: "BenchReport", package: "bench-report"),
                .product(name: "Tidemark", package: "tidemark"),
                .product(name: "TidemarkReplication", package: "tidemark"),
                .product(name: "TidemarkRedis", package: "tidemark"),
                .product(name: "TidemarkPostgreSQL", package: "tidemark"),
                .product(name: "TidemarkSQLite", package: "tidemark"),
                .product(name: "TidemarkTesting", package: "tidemark"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "GRDBSQLite", package: "GRDB.swift"),
                .product(name: "Histogram", package: "hdrhistogram-swift"),
            ],
            path: "Sources/TidemarkBench",
            swiftSettings: settings),
    ],
    swiftLanguageModes: [.v6]
)
