import Testing

@testable import TidemarkPostgreSQL

@Suite struct PostgresAddressTests {
    @Test(arguments: [
        ("postgres://u:hush@h:5433/d?sslmode=require", "h:5433/d"),
        ("host=h port=5433 dbname=d password=hush", "h:5433/d"),
        ("postgresql://u:hush@[::1]/d", "[::1]/d"),
        ("postgres://a:1,b:2/d?target_session_attrs=read-write", "a:1,b:2/d"),
        ("service=mine password=hush", "service mine"),
        ("dbname=d", "the default host/d"),
    ])
    func `an address is shown without what it takes to log in`(text: String, shown: String) throws {
        let address = try PostgresAddress(parsing: text)
        #expect(address.description == shown)
        var dumped = ""
        dump(PostgresConfiguration(address), to: &dumped)
        #expect(!dumped.contains("hush"))
        #expect(!"\(address) \(String(reflecting: address))".contains("hush"))
    }

    @Test(arguments: [
        "hush", "postgres://u:hush@[::1/d", "postgres://u:hu%sh@h/d", "host=h hush=1", "host='hush",
        "postgres://u:pass@hush@h/d", "postgres://u:a\u{0}hush@h/d", "postgres://h/d?hush=1",
        "password = hush \"hush\" =", "postgres://u:hush@h:port/d", "postgres://u:hush@h:0/d",
    ])
    func `an address that cannot be used is refused, and no part of it is shown`(text: String) throws {
        let error = try #require(throws: PostgresError.self) { try PostgresAddress(parsing: text) }
        guard case .invalidAddress = error else { throw error }
        #expect(!error.description.contains("hush"))
        #expect(!error.mayHaveHappened)
    }
}
