import Testing

@testable import TidemarkCore

@Suite struct InstanceNameTests {
    @Test func `unique names begin with their prefix, and no two are the same`() {
        let names = (0..<100).map { _ in InstanceName.unique(prefix: "api") }
        #expect(Set(names).count == names.count)
        #expect(names.allSatisfy { $0.rawValue.hasPrefix("api-") })
    }

    @Test func `a prefix that is as long as a name can be is cut off`() throws {
        let prefix = try InstanceName(validating: String(repeating: "x", count: 128))
        let name = InstanceName.unique(prefix: prefix)
        #expect(try InstanceName(validating: name.rawValue) == name)
        #expect(name.rawValue.hasPrefix("xxxxxxxx") && name.rawValue.contains("-"))
    }
}
