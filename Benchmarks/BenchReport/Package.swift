// swift-tools-version: 6.2
import PackageDescription

let settings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

// A package of its own, without dependencies, so that its tests are built in seconds.
let package = Package(
    name: "bench-report",
    platforms: [.macOS(.v15)],
    products: [.library(name: "BenchReport", targets: ["BenchReport"])],
    targets: [
        .target(name: "BenchReport", swiftSettings: settings),
        .testTarget(name: "BenchReportTests", dependencies: ["BenchReport"], swiftSettings: settings),
    ],
    swiftLanguageModes: [.v6]
)
