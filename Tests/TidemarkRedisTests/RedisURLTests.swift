import Testing

@testable import TidemarkRedis

@Suite struct RedisURLTests {
    @Test func `a URL says where the server is and on which channel`() throws {
        let url = try RedisURL(parsing: "redis://broker.example:7000/example.org")
        #expect(url.host == "broker.example" && url.port == 7000 && url.channel == "example.org")
        #expect(!url.usesTLS && url.user == nil && url.password == nil)
    }

    @Test func `the port is that of Redis where none is given`() throws {
        #expect(try RedisURL(parsing: "redis://broker/c").port == 6379)
        #expect(try RedisURL(parsing: "rediss://broker/c").usesTLS)
    }

    @Test func `an address of version six stands in brackets`() throws {
        let url = try RedisURL(parsing: "redis://[::1]:7000/c")
        #expect(url.host == "::1" && url.port == 7000)
        #expect(url.description == "redis://[::1]:7000/c")
    }

    @Test(arguments: ["redis://h", "redis://h/"]) func `the default channel has a prefix of its own`(text: String)
        throws
    {
        #expect(try RedisURL(parsing: text).channel == "tidemark.replication")
    }

    @Test func `what has a meaning in URLs is percent encoded`() throws {
        let url = try RedisURL(parsing: "redis://wri%40ter:p%3A%2F%25%C3%A9@h/exa%3Ample")
        #expect(url.user == "wri@ter" && url.password == "p:/%é" && url.channel == "exa:mple")
        let withoutUser = try RedisURL(parsing: "redis://:secret@h/c")
        #expect(withoutUser.user == nil && withoutUser.password == "secret")
    }

    @Test(arguments: [
        ("", InvalidRedisURL.unknownScheme), ("http://h/c", .unknownScheme), ("broker:6379/c", .unknownScheme),
        ("redis:///c", .noHost),
        ("redis://h/a/b", .invalidChannel),
        ("redis://h/a%2Fb", .invalidChannel), ("redis://h/a%20b", .invalidChannel),
        ("redis://h/a%0Ab", .invalidChannel),
        ("redis://h/" + String(repeating: "c", count: 257), .invalidChannel), ("redis://h:0/c", .invalidPort),
        ("redis://h:65536/c", .invalidPort), ("redis://user@h/c", .userWithoutPassword),
        ("redis://user:@h/c", .userWithoutPassword), ("redis://h/c?db=1", .unexpectedQuery),
        ("redis://h/c#f", .unexpectedQuery), ("redis://:secr et@h/c", .notAURL),
        ("redis://:%ff@h/c", .invalidPercentEncoding),
    ])
    func `what is no such URL is refused with the reason`(text: String, reason: InvalidRedisURL) {
        #expect(throws: reason) { try RedisURL(parsing: text) }
    }

    @Test(arguments: ["redis://u:hunter2@h/c", "redis://:hunter2@h:1/c", "rediss://u:hunter2@h/c"])
    func `the password is in nothing that is shown`(text: String) throws {
        let url = try RedisURL(parsing: text)
        var dumped = ""
        dump(url, to: &dumped)
        let shown = ["\(url)", String(reflecting: url), dumped, "\([url])", "\(Optional(url) as Any)"]
        #expect(shown.allSatisfy { !$0.contains("hunter2") && $0.contains("/c") })
    }

    @Test(arguments: [
        "redis://u:hunter2@/c", "redis://u:hunter2@h:x/c", "redis://u:hunter2@h:0", "gopher://u:hunter2@h/c",
    ])
    func `no error holds a part of the text`(text: String) {
        let error = #expect(throws: InvalidRedisURL.self) { try RedisURL(parsing: text) }
        #expect(error.map { !"\($0)".contains("hunter2") && !"\($0)".contains("u:") } == true)
    }
}
