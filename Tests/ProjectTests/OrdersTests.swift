import Foundation
import Testing

/// What is said of the example that is a package of its own.
@Suite struct OrdersTests {
    @Test func `the service and the projector together are at most 150 lines`() throws {
        let files = try Project.swiftFiles().filter { $0.path.contains("/Examples/Orders/Sources/Orders/") }
        #expect(Set(files.map(\.lastPathComponent)) == ["Main.swift", "Projector.swift", "Service.swift"])
        let lines = try files.map { try String(contentsOf: $0, encoding: .utf8).count(where: \.isNewline) }
        #expect((50...150).contains(lines.reduce(0, +)), "\(lines)")
    }

    /// A file that starts another program than the package builds is of no use.
    @Test(arguments: ["Dockerfile", "orders-service@.service", "orders-projector.service"])
    func `what starts it names the program and settings that there are`(file: String) throws {
        let text = try Project.read("Examples/Orders/" + file)
        #expect(text.contains("Orders"))
        let keys = try Project.read("Sources/Tidemark/Tidemark.docc/Configuration.md").matches(
            of: /\| `([A-Za-z.]+)` \|/
        )
        .map { $0.1.replacing(/[a-z](?=[A-Z])/) { "\($0.0)_" }.replacing(".", with: "_").uppercased() }
        let variables = text.matches(of: /TIDEMARK_([A-Z_]+)/).map { String($0.1) }
        #expect(!variables.isEmpty)
        for variable in variables { #expect(keys.contains(variable), "\(variable)") }
    }
}
