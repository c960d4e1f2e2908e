import TestSupport
import Testing

@testable import TidemarkPostgreSQL

@Suite(.timeLimit(.minutes(5)), .enabled(if: TestCluster.isAvailable)) struct PreparedStatementTests {
    private static let count = "SELECT count(*) FROM pg_prepared_statements WHERE NOT from_sql"

    @Test func `what is sent twice is prepared, once, and with other types once more`() async throws {
        try await connecting(try await TestCluster.newDatabase()) { session throws -> Void in
            let sql = "SELECT $1::bigint + 1, $2::text"
            func ask(_ text: PostgresValue) throws -> Int64 { try session.query(sql, [.int64(1), text]).int64(0, 0) }
            #expect(try ask(.text("a")) == 2)
            #expect(try session.query(Self.count).int64(0, 0) == 0)
            for _ in 0..<4 { #expect(try ask(.text("a")) == 2) }
            #expect(try session.query(Self.count).int64(0, 0) == 1)
            for _ in 0..<4 { #expect(try ask(.null) == 2) }
            #expect(try session.query(Self.count).int64(0, 0) == 2)
            for _ in 0..<3 {
                let answers = try session.pipeline([
                    PostgresStatement("BEGIN"), PostgresStatement(sql, [.int64(5), .null]), PostgresStatement("COMMIT"),
                ])
                #expect(try answers[1].int64(0, 0) == 6)
            }
            #expect(try session.query(Self.count).int64(0, 0) == 2)
        }
    }

    @Test func `no more statements are kept than the bound`() async throws {
        try await connecting(try await TestCluster.newDatabase()) { session throws -> Void in
            for number in 0..<PreparedStatements.limit + 20 {
                for _ in 0..<3 {
                    #expect(
                        try session.query("SELECT $1::bigint + \(number)", [.int64(1)]).int64(0, 0) == 1 + Int64(number)
                    )
                }
            }
            #expect(try session.query(Self.count).int64(0, 0) == Int64(PreparedStatements.limit))
        }
    }

    /// Somebody cleans the session up, or replaces what a statement gives.
    @Test(arguments: ["DISCARD ALL", "ALTER TABLE changed ALTER n TYPE text"])
    func `a statement that the server has lost is sent with its text again`(_ change: String) async throws {
        try await connecting(try await TestCluster.newDatabase()) { session throws -> Void in
            try session.query("CREATE TABLE changed AS SELECT 7::bigint AS n")
            let sql = "SELECT n FROM changed WHERE $1::bigint = 1"
            for _ in 0..<3 { #expect(try session.query(sql, [.int64(1)]).count == 1) }
            try session.query(change)
            for _ in 0..<3 { #expect(try session.query(sql, [.int64(1)]).count == 1) }
            let statements = [
                PostgresStatement("BEGIN"), PostgresStatement(sql, [.int64(1)]), PostgresStatement("COMMIT"),
            ]
            #expect(try session.pipeline(statements)[1].count == 1)
        }
    }

    @Test func `a statement that is wrong says so the second time too`() async throws {
        try await connecting(try await TestCluster.newDatabase()) { session throws -> Void in
            for _ in 0..<3 {
                let error = #expect(throws: PostgresError.self) {
                    try session.query("SELECT $1::bigint / 0", [.int64(1)])
                }
                #expect(error?.sqlState == "22012")
                let missing = #expect(throws: PostgresError.self) {
                    try session.query("SELECT no_such($1)", [.int64(1)])
                }
                #expect(missing?.sqlState == "42883" && missing?.mayHaveHappened == false)
            }
        }
    }

    @Test func `the name is that of the text and of the types`() {
        var statements = PreparedStatements(isUsed: true)
        func name(_ sql: String, _ types: [UInt32]) -> String? {
            _ = statements.use(sql, types)
            guard case .unprepared(let name) = statements.use(sql, types) else { return nil }
            return name
        }
        let names = [
            name("SELECT \"t\".persist_1($1)", [20]), name("SELECT \"t\".persist_1($1)", [25]),
            name("SELECT \"u\".persist_1($1)", [20]), name("SELECT $1", [20]),
        ].compactMap { $0 }
        #expect(Set(names).count == 4 && names.allSatisfy { $0.utf8.count < 63 })
        #expect(names[0].hasPrefix("tm_persist_1_") && names[3].hasPrefix("tm_"))
        var pooled = PreparedStatements(isUsed: false)
        for _ in 0..<3 { #expect(pooled.use("SELECT $1", [20]) == .unnamed) }
    }
}
