import TestSupport
import Testing
import Tidemark
@testable import TidemarkSQLite

@Suite struct CallerThreadUseTests {
    private let quick = CallerThreadUse.quickTransaction

    @Test func `nothing runs on its caller's thread before one was quick, or after one was slow`() {
        var use = CallerThreadUse()
        #expect(!use.mayBegin)
        use.ranElsewhere(for: quick)
        #expect(use.mayBegin)
        use.ranHere(for: quick + .nanoseconds(1))
        #expect(!use.mayBegin)
        use.ranElsewhere(for: quick)
        #expect(use.mayBegin)
    }

    /// Guards against a caller that never lets go of the only thread there is.
    @Test func `a streak on callers' threads ends, until one ran elsewhere`() {
        var use = CallerThreadUse()
        use.ranElsewhere(for: quick)
        var count = 0
        while use.mayBegin {
            use.ranHere(for: .microseconds(100))
            count += 1
        }
        #expect(count == 100)
        use.ranElsewhere(for: .microseconds(100))
        #expect(use.mayBegin)
    }

    @Test func `what is large is not taken, however quick the last one was`() async throws {
        #expect(CallerThreadUse.mayTake(events: CallerThreadUse.maximumEvents, bytes: CallerThreadUse.maximumBytes))
        #expect(!CallerThreadUse.mayTake(events: CallerThreadUse.maximumEvents + 1, bytes: 0))
        #expect(!CallerThreadUse.mayTake(events: 1, bytes: CallerThreadUse.maximumBytes + 1))
        let folder = try TemporaryFolder()
        let store = try await folder.open()
        let writer = try await store.join(stream, as: "p1").writer
        let large = events(0..<CallerThreadUse.maximumEvents + 1)
        #expect(try store.persistImmediately(EventGroup(large, in: stream, by: writer)) == nil)
        #expect(try await store.persist(large, in: stream, by: writer).count == large.count)
    }
}
