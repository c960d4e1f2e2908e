import Testing
import TidemarkCore

@testable import TidemarkHomeserver

@Suite struct CatchUpsTests {
    let p1 = Writer("p1", epoch: 1)
    let p2 = Writer("p2", epoch: 1)

    private func update(_ token: StreamID, of writer: Writer) -> StreamUpdate {
        StreamUpdate(writer: writer, token: token, rows: [])
    }

    @Test func `one writer is fetched after the other, up to the highest that was wanted`() {
        var catchUps = CatchUps()
        catchUps.want(p1, through: 5)
        catchUps.want(p2, through: 7)
        catchUps.want(p1, through: 9)
        catchUps.want(p1, through: 6)
        #expect(catchUps.current().map { [$0.writer.instance.rawValue, "\($0.through)"] } == ["p1", "9"])
        #expect(!catchUps.hasBegun)
        catchUps.fetched([update(4, of: p1), update(8, of: p1)])
        #expect(catchUps.hasBegun)
        #expect(catchUps.nextFetched(above: 4) == update(8, of: p1))
        #expect(catchUps.nextFetched(above: 8) == nil)
        catchUps.end()
        #expect(catchUps.current().map { [$0.writer.instance.rawValue, "\($0.through)"] } == ["p2", "7"])
        catchUps.end()
        #expect(catchUps.current()?.writer == nil && catchUps.isEmpty)
    }

    @Test func `a writer that is forgotten is not fetched, and one that is removed not any further`() {
        var catchUps = CatchUps()
        catchUps.want(p1, through: 5)
        catchUps.want(p2, through: 7)
        catchUps.forgetWanted(of: p1)
        #expect(catchUps.current()?.writer == p2)
        catchUps.remove(p2)
        #expect(catchUps.current()?.writer == nil && catchUps.isEmpty)
    }

    @Test func `writers that are wanted and forgotten again and again take no memory`() {
        var catchUps = CatchUps()
        for number in 1...10_000 {
            let writer = Writer("p1", epoch: number)
            catchUps.want(writer, through: 5)
            catchUps.forgetWanted(of: writer)
        }
        #expect(catchUps.isEmpty && catchUps.waitingCount <= 65)
    }
}
