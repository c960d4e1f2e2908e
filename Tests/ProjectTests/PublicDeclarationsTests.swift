import Foundation
import Testing

/// Every public declaration says what holds, or fulfils a requirement that does.
@Suite struct PublicDeclarationsTests {
    @Test func `every public declaration has a comment`() throws {
        var all = PublicDeclarations()
        let sources = Project.root.appending(path: "Sources").path + "/"
        for file in try Project.swiftFiles() where file.path.hasPrefix(sources) {
            all.read(try String(contentsOf: file, encoding: .utf8), file: String(file.path.dropFirst(sources.count)))
        }
        // Where it finds far fewer than there are it has stopped to read, and would find nothing.
        #expect(all.declarations.count > 1500)
        for missing in all.withoutComment() {
            Issue.record("Sources/\(missing.file):\(missing.line): \(missing.type) \(missing.name) has no comment")
        }
    }

    @Test(arguments: [
        ("public func a() {}", ["a()"]),
        (
            "public struct S {\n    public let a: Int\n    public var b = 0, c = 0\n    let d: Int\n}",
            ["S", "S.a", "S.b"]
        ),
        ("/// S.\npublic enum E {\n    case a, b(Int, c: [Int: Int])\n    case d\n}", ["E.a", "E.b", "E.d"]),
        (
            "/// P.\npublic protocol P {\n    var a: Int { get }\n    func b(c: Int) async throws\n}",
            ["P.a", "P.b(c:)"]
        ),
        ("extension A {\n    public init<T>(_ a: (T) -> Void, b c: Int = f(1, 2)) {}\n}", ["A.init(_:b:)"]),
        (
            "extension A {\n    public subscript(a: Int) -> Int { 0 }\n    public subscript(b b: Int) -> Int { 0 }\n}",
            ["A.subscript(_:)", "A.subscript(b:)"]
        ),
        ("public extension A {\n    func a() {}\n    private func b() {}\n}", ["A.a()"]),
        ("@discardableResult\n@available(*, deprecated)\npublic func a(\n    _ b: Int,\n    c: Int\n) {}", ["a(_:c:)"]),
        ("public private(set) var a = 0", ["a"]),
        ("@inlinable nonisolated public static func a() {}", ["a()"]),
        ("#if os(Linux)\n/// A.\npublic func a() {}\n#else\npublic func a() {}\n#endif", ["a()"]),
        ("/// P.\npublic struct P: Sequence {\n    public struct Iterator {}\n}", ["P.Iterator"]),
        // A comment that is elsewhere, or is none for documentation.
        ("/// Of something else.\n\npublic let a = 0", ["a"]),
        ("// Not for documentation.\npublic let a = 0", ["a"]),
        ("public struct S {\n    /// Of a.\n    let a: Int\n    public let b: Int\n}", ["S", "S.b"]),
        // It conforms to what has no such requirement, and a type of another name has.
        ("/// S.\npublic struct S: Sendable {\n    public var description: String { \"\" }\n}", ["S.description"]),
        (
            "/// P.\npublic protocol P {\n    /// A.\n    func a(b: Int)\n}\n/// S.\npublic struct S: P {\n"
                + "    public func a(b: Int) {}\n    public func a(c: Int) {}\n}\n/// T.\npublic struct T {\n"
                + "    public func a(b: Int) {}\n}", ["S.a(c:)", "T.a(b:)"]
        ),
        // A requirement without a comment has none to inherit.
        (
            "/// P.\npublic protocol P {\n    func a()\n}\nextension P {\n    public func a() {}\n}",
            ["P.a()", "P.a()"]
        ),
    ])
    func aDeclarationWithoutACommentIsFound(source: String, names: [String]) {
        #expect(found(in: source) == names)
    }

    @Test(arguments: [
        "/// A.\npublic func a() {}",
        "/** A. */\npublic func a() {}",
        "/// A.\n@available(*, deprecated)\n@inlinable public func a() {}",
        "#if os(Linux)\n/// A.\npublic func a() {}\n#else\n/// A.\npublic func a() {}\n#endif",
        "func a() {}\nlet b = 0\npublic import Foundation",
        // What nobody outside sees.
        "struct S {\n    public let a: Int\n}",
        "enum E {\n    case a\n}",
        "protocol P {\n    func a()\n}",
        "/// S.\npublic struct S {\n    private enum E {\n        case a\n    }\n    package let b: Int\n}",
        // What stands in a body, in a string or in a comment.
        "/// F.\npublic func f() {\n    public let a = 0\n}",
        "/// F.\npublic func f(_ a: Int) {\n    switch a {\n    case 1: break\n    }\n}",
        "let a = \"\"\"\n    public func b() {}\n    {\n    \"\"\"",
        "let a = \"{ \\(b(\"}{\")) {\"\n/*\npublic let c = 0\n*/",
        "/// S.\npublic struct S {\n    let a = #\"{\"#\n}\nstruct T {\n    public let b = 0\n}",
        // What it inherits: from a requirement, through another protocol and from another file's extension, too.
        "/// P.\npublic protocol P {\n    /// A.\n    func a<T>(_ b: T, c: Int)\n}\nextension P {\n"
            + "    public func a<T>(_ b: T, c: Int) {}\n}",
        "/// P.\npublic protocol P {\n    /// A.\n    var a: Int { get }\n}\n/// Q.\npublic protocol Q: Sendable, P {}\n"
            + "/// S.\npublic struct S {\n    public var a: Int\n}\nextension S: Q {}",
        // What the standard library has explained.
        "/// S.\npublic struct S: Hashable, Codable {\n    public static func == (a: S, b: S) -> Bool { true }\n"
            + "    public func hash(into hasher: inout Hasher) {}\n    public init(from decoder: any Decoder) throws {}\n"
            + "    public func encode(to encoder: any Encoder) throws {}\n}",
        "/// S.\npublic struct S<A: P>: Error,\n    CustomStringConvertible\nwhere A: Q {\n"
            + "    public var description: String { \"\" }\n}",
    ])
    func aDeclarationThatNeedsNoneIsNot(source: String) {
        #expect(found(in: source) == [])
    }

    private func found(in source: String) -> [String] {
        var all = PublicDeclarations()
        all.read(source, file: "A.swift")
        return all.withoutComment().map { $0.type.isEmpty ? $0.name : "\($0.type).\($0.name)" }
    }
}
