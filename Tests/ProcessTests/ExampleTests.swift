import TestSupport
import Testing

/// Examples that check what they do.
@Suite struct ExampleTests {
    @Test func `a table that is kept from the stream counts each event once, and whoever writes sees it there`()
        async throws
    {
        let program = try Program("ReadModel", [])
        let outcome = try await program.outcome()
        #expect(outcome.status == 0 && outcome.text == "alice: 4000\nbob: 700\n", "\(outcome.errors)")
    }
}
