import Testing

import TidemarkCore

@testable import TidemarkHomeserver
import TidemarkWire

/// A feed of a stream whose rows are wanted, with p1 and p2 as members at 7.
@Suite struct RowFeedTests {
    static let p1 = Writer("p1", epoch: 1)
    static let p2 = Writer("p2", epoch: 1)
    let p1 = RowFeedTests.p1
    let p2 = RowFeedTests.p2
    var feed = RowFeed(own: "me", hearing: .members)

    init() {
        start()
    }

    mutating func start() {
        feed.connected()
        #expect(feed.next() == .readPositions)
        feed.read([p1: 7, p2: 7])
        open(p1)
        open(p2)
        #expect(feed.next() == nil)
    }

    mutating func open(_ writer: Writer, at token: StreamID = 7) {
        feed.received(position(token, token, of: writer))
    }

    func position(_ previous: StreamID, _ new: StreamID, of writer: Writer = p1) -> ReplicationPosition {
        ReplicationPosition(stream: "caches", writer: writer, previous: previous, new: new)
    }

    func row(_ id: StreamID?, of writer: Writer = p1) -> ReplicationRow {
        ReplicationRow(stream: "caches", writer: writer, token: id.map { .id($0) } ?? .batch, row: .null)
    }

    func update(_ token: StreamID, of writer: Writer = p1, rows: Int = 1) -> StreamUpdate {
        StreamUpdate(writer: writer, token: token, rows: Array(repeating: .null, count: rows))
    }

    /// Does everything that the feed asks for; each fetch finds an update at every token. What was handed on.
    mutating func work(steps limit: Int = 1_000) throws -> [StreamUpdate] {
        var handled: [StreamUpdate] = []
        for _ in 0..<limit {
            guard let step = feed.next() else { break }
            switch step {
            case .readPositions: feed.read([p1: 7, p2: 7])
            case .fetch(let writer, let after, let through, let limit):
                let tokens = (after.rawValue + 1...through.rawValue).prefix(limit)
                try feed.fetched(
                    tokens.map { update(StreamID($0), of: writer, rows: 2) },
                    isComplete: tokens.last == through.rawValue)
            case .handle(let update):
                handled.append(update)
                feed.handled()
            }
        }
        return handled
    }

    @Test mutating func `updates are handed on in order one at a time`() {
        for id: StreamID in [8, 9] { feed.received(row(id)) }
        #expect(feed.next() == .handle(update(8)))
        #expect(feed.next() == nil)
        feed.handled()
        #expect(feed.position(of: p1) == 8)
        #expect(feed.next() == .handle(update(9)))
    }

    @Test mutating func `a batch is handed on whole`() throws {
        feed.received(row(nil))
        feed.received(row(nil))
        #expect(feed.next() == nil)
        feed.received(row(8))
        #expect(try work() == [update(8, rows: 3)])
    }

    @Test mutating func `a position after which nothing is missing fetches nothing`() throws {
        feed.received(position(7, 12))
        #expect(try work() == [update(12, rows: 0)])
        #expect(feed.position(of: p1) == 12)
    }

    @Test mutating func `missed rows are fetched and handled before the position is taken`() throws {
        feed.received(position(9, 12))
        feed.received(row(13))
        #expect(feed.next() == .fetch(p1, after: 7, through: 12, limit: 500))
        try feed.fetched([update(8), update(9)], isComplete: true)
        for step in [update(8), update(9), update(12, rows: 0), update(13)] {
            #expect(feed.position(of: p1)?.rawValue ?? 0 < step.token.rawValue)
            #expect(feed.next() == .handle(step))
            feed.handled()
        }
        #expect(feed.next() == nil)
        #expect(feed.counts.gaps == 1)
    }

    @Test mutating func `missed rows are fetched in bounded steps`() throws {
        feed = RowFeed(own: "me", hearing: .members, limits: limits { $0.fetchedUpdates = 2 })
        start()
        feed.received(position(12, 12))
        #expect(feed.next() == .fetch(p1, after: 7, through: 12, limit: 2))
        try feed.fetched([update(8), update(10)], isComplete: false)
        #expect(feed.next() == .handle(update(8)))
        feed.handled()
        #expect(feed.next() == .handle(update(10)))
        feed.handled()
        #expect(feed.next() == .fetch(p1, after: 10, through: 12, limit: 2))
    }

    func limits(_ change: (inout RowFeed.Limits) -> Void) -> RowFeed.Limits {
        var limits = RowFeed.Limits()
        change(&limits)
        return limits
    }

    @Test mutating func `a previous token above the new one stands for rows that were not sent`() throws {
        feed.received(position(9, 0))
        #expect(feed.next() == .fetch(p1, after: 7, through: 9, limit: 500))
    }

    @Test mutating func `old news are dropped at once`() {
        feed.received(position(5, 7))
        feed.received(row(7))
        feed.received(row(8))
        feed.received(position(7, 8))
        #expect(feed.counts.oldNews == 5)
        #expect(feed.queue.count == 1)
    }

    @Test mutating func `rows are dropped until a position of their writer came on this connection`() throws {
        feed.connected()
        feed.received(row(8))
        open(p2)
        feed.received(row(8))
        #expect(feed.counts.unopened == 2)
        #expect(try work() == [])
        feed.received(position(8, 8))
        #expect(try work() == [update(8, rows: 2)])
        feed.received(row(9))
        #expect(try work() == [update(9)])
    }

    @Test mutating func `own echoes are ignored in silence`() {
        feed.received(position(90, 100, of: Writer("me", epoch: 4)))
        feed.received(row(101, of: Writer("me", epoch: 4)))
        #expect(feed.next() == nil)
        #expect(feed.counts.own == 2)
    }

    @Test mutating func `writers do not wait for each others rows`() throws {
        feed.received(row(8))
        feed.received(row(9, of: p2))
        #expect(try work() == [update(8), update(9, of: p2)])
    }

    @Test mutating func `a catch up throws half a batch away and fetches all of it`() throws {
        feed.received(position(9, 9))
        feed.received(row(nil))
        #expect(feed.next() == .fetch(p1, after: 7, through: 9, limit: 500))
        try feed.fetched([], isComplete: true)
        feed.received(row(nil))
        feed.received(row(10))
        #expect(feed.counts.discardedBatches >= 1)
        #expect(try work() == [update(9, rows: 0), update(10, rows: 2)])
    }

    @Test mutating func `a connection that ends in the middle of a batch has it fetched`() throws {
        feed.received(row(nil))
        feed.connected()
        feed.received(row(10))
        feed.received(position(10, 10))
        #expect(try work() == [update(8, rows: 2), update(9, rows: 2), update(10, rows: 2)])
    }

    @Test mutating func `a full queue is dropped and what was in it fetched`() throws {
        feed = RowFeed(own: "me", hearing: .members, limits: limits { $0.queuedUpdates = 3 })
        start()
        for id: StreamID in [8, 9, 10, 11] { feed.received(row(id)) }
        feed.received(row(12))
        #expect(feed.counts.overflows == 1)
        #expect(feed.counts.droppedFromQueue == 4)
        #expect(
            try work() == [8, 9, 10, 11].map { update($0, rows: 2) } + [update(12)])
    }

    @Test mutating func `a queue is bounded in bytes too`() throws {
        feed = RowFeed(own: "me", hearing: .members, limits: limits { $0.queuedBytes = 1_000 })
        start()
        let text = try JSONText(validating: "\"\(String(repeating: "x", count: 1_000))\"")
        feed.received(ReplicationRow(stream: "caches", writer: p1, token: .id(8), row: text))
        #expect(feed.counts.overflows == 1)
        #expect(try work() == [update(8, rows: 2)])
    }

    @Test mutating func `an answer that cannot be right is refused`() throws {
        feed.received(position(12, 12))
        #expect(feed.next() == .fetch(p1, after: 7, through: 12, limit: 500))
        for updates in [[update(7)], [update(13)], [update(9), update(9)], [update(8, of: p2)]] {
            #expect(throws: InvalidStreamUpdates.self) { try feed.fetched(updates, isComplete: true) }
        }
        #expect(throws: InvalidStreamUpdates.noProgress(after: 7)) { try feed.fetched([], isComplete: false) }
        try feed.fetched([], isComplete: true)
        #expect(try work() == [update(12, rows: 0)])
    }
}
