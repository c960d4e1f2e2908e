import Dispatch
import Testing
@testable import TidemarkSQLite

@Suite struct PendingWritesTests {
    @Test func `one that waits already is not waited for`() {
        let pending = PendingWrites()
        pending.add()
        #expect(pending.wait(atMost: .zero))
        pending.begin()
        pending.end()
        #expect(!pending.wait(atMost: .zero))
    }

    @Test func `the wait ends when one comes, and leaves nothing behind for the next`() async throws {
        let pending = PendingWrites()
        for _ in 0..<50 {
            async let came = blocking { pending.wait(atMost: .seconds(60)) }
            pending.add()
            #expect(try await came)
            pending.begin()
            pending.end()
            #expect(!pending.wait(atMost: .microseconds(1)))
        }
    }

    @Test func `one that comes has the connection at once only when nobody has it or waits for it`() {
        let pending = PendingWrites()
        #expect(pending.beginAlone())
        #expect(!pending.beginAlone())
        pending.end()
        pending.add()
        #expect(!pending.beginAlone())
        pending.begin()
        #expect(!pending.beginAlone())
        pending.end()
        #expect(pending.beginAlone())
    }
}
