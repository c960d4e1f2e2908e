import Testing

import TidemarkCore

@testable import TidemarkHomeserver
import TidemarkWire

/// Who is heard, what is tried again, and when a connection has caught up.
@Suite struct RowFeedMembershipTests {
    var base = RowFeedTests()
    var p1: Writer { base.p1 }
    var p2: Writer { base.p2 }

    @Test mutating func `an epoch that is over is dropped`() {
        let old = Writer("p1", epoch: 0)
        base.feed.received(base.position(7, 20, of: old))
        base.feed.received(base.row(21, of: old))
        #expect(base.feed.next() == nil)
        #expect(base.feed.counts.outdated == 2)
    }

    @Test mutating func `a newer epoch has the members read and goes on where the older one was`() throws {
        let newer = Writer("p1", epoch: 2)
        base.feed.received(base.position(9, 12, of: newer))
        #expect(base.feed.position(of: newer) == nil)
        #expect(base.feed.next() == .readPositions)
        base.feed.read([newer: 7, p2: 7])
        #expect(base.feed.next() == .fetch(newer, after: 7, through: 12, limit: 500))
        #expect(base.feed.position(of: p1) == nil)
    }

    @Test mutating func `rows of a new member that were dropped are fetched`() throws {
        let new = Writer("p3", epoch: 1)
        base.feed.received(base.position(0, 0, of: new))
        base.feed.received(base.row(8, of: new))
        #expect(base.feed.next() == .readPositions)
        base.feed.read([p1: 7, p2: 7, new: 0])
        #expect(base.feed.next() == .fetch(new, after: 0, through: 8, limit: 500))
    }

    @Test mutating func `who is no member is asked for once`() {
        let zombie = Writer("p9", epoch: 1)
        base.feed.received(base.position(9, 12, of: zombie))
        #expect(base.feed.next() == .readPositions)
        base.feed.read([p1: 7, p2: 7])
        base.feed.received(base.position(12, 13, of: zombie))
        #expect(base.feed.next() == nil)
    }

    @Test mutating func `who is no member any more is forgotten`() throws {
        base.feed.received(base.row(8))
        base.feed.connected()
        #expect(base.feed.next() == .readPositions)
        base.feed.read([p2: 7])
        #expect(base.feed.position(of: p1) == nil)
        #expect(try base.work() == [])
    }

    @Test mutating func `what the source has beyond the first answer was missed`() {
        base.feed.connected()
        #expect(base.feed.next() == .readPositions)
        base.feed.read([p1: 7, p2: 11])
        #expect(base.feed.next() == .fetch(p2, after: 7, through: 11, limit: 500))
    }

    @Test mutating func `where everyone is heard a new name begins at the beginning`() throws {
        base.feed = RowFeed(own: "me", hearing: .everyone)
        base.feed.connected()
        let foreign = Writer("event_persister-1", epoch: 0)
        base.feed.received(base.position(3, 3, of: foreign))
        #expect(base.feed.next() == .readPositions)
        base.feed.read([:])
        #expect(base.feed.next() == .fetch(foreign, after: 0, through: 3, limit: 500))
        try base.feed.fetched([], isComplete: true)
        _ = try base.work()
        base.feed.received(base.row(4, of: foreign))
        #expect(base.feed.next() == .handle(base.update(4, of: foreign)))
    }

    @Test mutating func `where everyone is heard a newer epoch replaces the older one`() {
        base.feed = RowFeed(own: "me", hearing: .everyone)
        base.feed.connected()
        #expect(base.feed.next() == .readPositions)
        base.feed.read([p1: 7])
        let newer = Writer("p1", epoch: 2)
        base.feed.received(base.position(7, 9, of: newer))
        #expect(base.feed.next() == .readPositions)
        base.feed.read([newer: 7])
        #expect(base.feed.next() == .handle(base.update(9, of: newer, rows: 0)))
        base.feed.handled()
        base.feed.received(base.position(9, 10))
        #expect(base.feed.next() == nil)
        #expect(base.feed.counts.outdated == 1)
    }

    // MARK: Failures

    @Test mutating func `what could not be handled is fetched after a delay that grows`() throws {
        base.feed.received(base.row(8))
        base.feed.received(base.row(9))
        #expect(base.feed.next() == .handle(base.update(8)))
        #expect(base.feed.failed(random: 0) == .milliseconds(50))
        #expect(base.feed.next() == nil)
        base.feed.resume()
        #expect(base.feed.next() == .fetch(p1, after: 7, through: 8, limit: 500))
        #expect(base.feed.failed(random: 0) == .milliseconds(100))
        base.feed.resume()
        #expect(try base.work() == [base.update(8, rows: 2), base.update(9)])
        base.feed.received(base.row(10))
        #expect(base.feed.next() == .handle(base.update(10)))
        #expect(base.feed.failed(random: 0) == .milliseconds(50))
    }

    @Test mutating func `a catch up that fails goes on where it was`() throws {
        base.feed.received(base.position(10, 10))
        #expect(base.feed.next() == .fetch(p1, after: 7, through: 10, limit: 500))
        try base.feed.fetched([base.update(8), base.update(9)], isComplete: true)
        #expect(base.feed.next() == .handle(base.update(8)))
        base.feed.handled()
        #expect(base.feed.next() == .handle(base.update(9)))
        _ = base.feed.failed(random: 0)
        base.feed.resume()
        #expect(base.feed.next() == .fetch(p1, after: 8, through: 10, limit: 500))
    }

    @Test mutating func `positions that could not be read are read again`() {
        base.feed.connected()
        #expect(base.feed.next() == .readPositions)
        _ = base.feed.failed(random: 0)
        base.feed.resume()
        #expect(base.feed.next() == .readPositions)
    }

    // MARK: Having caught up

    @Test mutating func `a connection has caught up once nothing is left to do`() throws {
        #expect(base.feed.becameCaughtUp() == true)
        #expect(base.feed.becameCaughtUp() == false)
        base.feed.connected()
        base.feed.received(base.position(9, 9))
        #expect(base.feed.becameCaughtUp() == false)
        #expect(base.feed.next() == .readPositions)
        base.feed.read([p1: 9, p2: 7])
        #expect(base.feed.becameCaughtUp() == false)
        while base.feed.next() != nil, !base.feed.becameCaughtUp() {
            _ = base.feed.failed(random: 0)
            base.feed.resume()
            #expect(base.feed.becameCaughtUp() == false)
            _ = try base.work()
        }
        #expect(base.feed.position(of: p1) == 9)
    }

    @Test mutating func `a connection that is gone has not caught up`() {
        base.feed.disconnected()
        #expect(base.feed.becameCaughtUp() == false)
    }

    @Test func `a participant has caught up with its last stream`() {
        var progress = CatchUpProgress()
        let before = progress.caughtUp("a")
        #expect(!before)
        progress.connected(streams: ["a", "b"])
        let first = progress.caughtUp("a")
        let again = progress.caughtUp("a")
        let last = progress.caughtUp("b")
        #expect(!first && !again && last)
        progress.connected(streams: ["a"])
        progress.disconnected()
        let gone = progress.caughtUp("a")
        #expect(!gone)
    }
}
