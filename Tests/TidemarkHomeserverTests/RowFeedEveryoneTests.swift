import Testing

import TidemarkCore

@testable import TidemarkHomeserver
import TidemarkWire

/// A feed that hears everyone, on a channel where anyone may say anything.
@Suite struct RowFeedEveryoneTests {
    private var base = RowFeedTests()
    private let master = Writer("master", epoch: 0)

    init() {
        base.feed = RowFeed(own: "me", hearing: .everyone)
        base.feed.connected()
        answer([master: 7])
        base.open(master)
        #expect(base.feed.next() == nil)
    }

    /// The source is asked, and answers.
    private mutating func answer(_ positions: [Writer: StreamID]) {
        #expect(base.feed.next() == .readPositions)
        base.feed.read(positions)
    }

    private mutating func handle(_ updates: StreamUpdate...) {
        for update in updates {
            #expect(base.feed.next() == .handle(update))
            base.feed.handled()
        }
        #expect(base.feed.next() == nil)
    }

    private func update(_ token: StreamID, rows: Int = 1) -> StreamUpdate {
        base.update(token, of: master, rows: rows)
    }

    @Test mutating func `an epoch that the source does not know silences nobody`() {
        base.feed.received(base.position(7, 9, of: Writer("master", epoch: 5)))
        answer([master: 7])
        base.feed.received(base.row(8, of: master))
        handle(update(8))
        #expect(base.feed.counts.outdated == 0)
    }

    @Test mutating func `nobody who has no epoch is outdated`() {
        let other = Writer("other", epoch: 0)
        base.open(other, at: 0)
        base.feed.received(base.position(0, 0, of: Writer("other", epoch: 5)))
        base.feed.received(base.row(1, of: other))
        handle(base.update(1, of: other))
    }

    @Test mutating func `a newer epoch that somebody made up is forgotten when the source names another`() {
        let (real, madeUp) = (Writer("p1", epoch: 3), Writer("p1", epoch: .max))
        base.open(madeUp, at: 0)
        base.feed.ask()
        answer([master: 7, real: 0])
        base.open(real, at: 0)
        base.feed.received(base.row(1, of: real))
        handle(base.update(1, of: real))
        #expect(base.feed.position(of: madeUp) == nil)
    }

    @Test mutating func `every epoch that the source names is heard`() {
        let (one, two) = (Writer("worker", epoch: 1), Writer("worker", epoch: 2))
        base.feed.ask()
        answer([master: 7, one: 0, two: 0])
        for writer in [one, two] {
            base.open(writer, at: 0)
            base.feed.received(base.row(1, of: writer))
        }
        handle(base.update(1, of: one), base.update(1, of: two))
    }

    @Test mutating func `a position that is false freezes a writer only until the source is asked`() throws {
        base.feed.received(base.row(8, of: master))
        handle(update(8))
        base.feed.received(base.position(8, StreamID(.max), of: master))
        handle(update(StreamID(.max), rows: 0))
        base.feed.received(base.row(9, of: master))
        #expect(base.feed.counts.oldNews == 1 + 1)
        base.feed.ask()
        answer([master: 9])
        #expect(base.feed.next() == .fetch(master, after: 8, through: 9, limit: 500))
        try base.feed.fetched([update(9, rows: 2)], isComplete: true)
        handle(update(9, rows: 2))
        base.feed.received(base.row(10, of: master))
        handle(update(10))
        #expect(base.feed.counts.setBack == 1)
    }

    @Test mutating func `a row that is false has what is not sure fetched again`() throws {
        base.feed.ask()
        answer([master: 7])
        base.feed.received(base.row(8, of: master))
        base.feed.received(base.row(StreamID(.max), of: master))
        handle(update(8), update(StreamID(.max)))
        base.feed.ask()
        answer([master: 8])
        #expect(base.feed.next() == .fetch(master, after: 7, through: 8, limit: 500))
    }

    @Test mutating func `a stream that begins again is followed from its beginning`() throws {
        base.feed.ask()
        answer([master: 7])
        base.feed.received(base.position(0, 0, of: master))
        base.feed.received(base.row(1, of: master))
        base.feed.ask()
        answer([master: 2])
        #expect(base.feed.next() == .fetch(master, after: 0, through: 2, limit: 500))
        try base.feed.fetched([update(1), update(2)], isComplete: true)
        handle(update(1), update(2))
        base.feed.received(base.row(3, of: master))
        handle(update(3))
    }

    @Test mutating func `what waits of a life that is over is dropped`() throws {
        base.feed.ask()
        base.feed.received(base.row(8, of: master))
        base.feed.received(base.row(1, of: Writer("other", epoch: 0)))
        answer([master: 2])
        #expect(base.feed.next() == .fetch(master, after: 0, through: 2, limit: 500))
        #expect(base.feed.queue.isEmpty && base.feed.queuedBytes == 0)
    }

    @Test mutating func `a position without rows that the source does not know has nothing handled twice`() {
        base.feed.received(base.row(8, of: master))
        base.feed.received(base.position(8, 12, of: master))
        handle(update(8), update(12, rows: 0))
        base.feed.ask()
        answer([master: 8])
        #expect(base.feed.next() == nil)
        base.feed.received(base.row(13, of: master))
        handle(update(13))
    }

    // MARK: The number of names

    private mutating func begin(limit: Int) {
        var limits = RowFeed.Limits()
        limits.writers = limit
        base.feed = RowFeed(own: "me", hearing: .everyone, limits: limits)
        base.feed.connected()
        answer([master: 7])
    }

    private func name(_ number: Int) -> Writer { Writer(InstanceName(stringLiteral: "p\(number)"), epoch: 0) }

    @Test mutating func `names without end are not kept`() {
        begin(limit: 3)
        for number in 0..<100 { base.open(name(number), at: 0) }
        #expect(base.feed.writers.count == 4)
        #expect(base.feed.counts.forgottenWriters == 97)
        #expect(base.feed.position(of: master) == 7 && base.feed.position(of: name(99)) == 0)
    }

    @Test mutating func `names that are said once keep nobody out who goes on`() {
        begin(limit: 3)
        base.open(name(0), at: 0)
        for number in 1..<100 {
            base.feed.received(base.row(StreamID(Int64(number)), of: name(0)))
            base.open(name(number), at: 0)
        }
        #expect(base.feed.counts.unopened == 0)
        #expect(base.feed.position(of: name(0)) == 0)
    }

    @Test mutating func `epochs without end take no memory`() {
        begin(limit: 3)
        for epoch in 1...100 { base.open(Writer("p1", epoch: epoch), at: 0) }
        #expect(base.feed.writers.count == 2)
        #expect(base.feed.unnamed.count <= 7)
    }
}
