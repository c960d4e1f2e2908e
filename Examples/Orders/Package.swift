// swift-tools-version: 6.2
import PackageDescription

let settings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

let package = Package(
    name: "orders",
    platforms: [.macOS(.v15)],
    dependencies: [
        // Named, so that the folder's name does not matter.
        .package(name: "tidemark", path: "../..", traits: [.defaults, "Configuration"]),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.0"),
        .package(url: "https://github.com/apple/swift-configuration", from: "1.4.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
    ],
    targets: [
        .executableTarget(
            name: "Orders",
            dependencies: [
                "PrometheusText",
                .product(name: "Configuration", package: "swift-configuration"),
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Metrics", package: "swift-metrics"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "Tidemark", package: "tidemark"),
                .product(name: "TidemarkReplication", package: "tidemark"),
                .product(name: "TidemarkSQLite", package: "tidemark"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ],
            swiftSettings: settings),
        // What swift-metrics counts, in the text format of Prometheus. A package that does this can take its place.
        .target(
            name: "PrometheusText",
            dependencies: [.product(name: "CoreMetrics", package: "swift-metrics")], swiftSettings: settings),
        .testTarget(
            name: "OrdersTests",
            dependencies: ["Orders", "PrometheusText", .product(name: "CoreMetrics", package: "swift-metrics")],
            swiftSettings: settings),
    ],
    swiftLanguageModes: [.v6]
)
