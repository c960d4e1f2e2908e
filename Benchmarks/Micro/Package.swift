// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "tidemark-micro-benchmarks",
    platforms: [.macOS(.v15)],
    dependencies: [
        // Named, so that the folder's name does not matter.
        .package(name: "tidemark", path: "../.."),
        // Without its traits: what they interpose counts allocations, and changes what is measured.
        .package(url: "https://github.com/ordo-one/benchmark", from: "1.38.0", traits: []),
    ],
    targets: [
        .executableTarget(
            name: "HotPaths",
            dependencies: [
                .product(name: "Benchmark", package: "benchmark"),
                .product(name: "TidemarkCore", package: "tidemark"),
                .product(name: "TidemarkWire", package: "tidemark"),
            ],
            path: "Benchmarks/HotPaths",
            swiftSettings: [
                .enableUpcomingFeature("ExistentialAny"), .enableUpcomingFeature("MemberImportVisibility"),
            ],
            plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")])
    ],
    swiftLanguageModes: [.v6]
)
