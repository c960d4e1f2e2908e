import Testing
import TidemarkCore

/// What is made of the commands about an event stream. Everyone in these tests is in epoch 1 unless it says otherwise.
@Suite struct EventFeedTests {
    var feed = EventFeed()
    let p1 = Writer("p1", epoch: 1)

    func position(_ previous: StreamID, _ new: StreamID, of writer: Writer? = nil) -> HeardPosition {
        HeardPosition(Speaker(writer ?? p1, nonce: nil), previous: previous, new: new)
    }

    func row(_ id: StreamID, of writer: Writer? = nil) -> HeardRow {
        HeardRow(Speaker(writer ?? p1, nonce: nil), id: id)
    }

    /// The database is asked, and answers.
    mutating func ask(members: Set<Writer>) -> [EventFeed.Action] {
        feed.answered(feed.beginAsking()) { members.contains($0.writer) }
    }

    /// A feed that has caught up with p1 at 7 on its connection.
    mutating func connect() {
        feed.connected()
        _ = feed.received(position(7, 7), from: .member)
        _ = ask(members: [p1])
        #expect(feed.needsDatabase(minimum: 0) == false)
    }

    @Test mutating func `a position is taken at once`() {
        connect()
        #expect(feed.received(position(7, 9), from: .member) == .advance(p1, to: 9))
        #expect(feed.needsDatabase(minimum: 0) == false)
    }

    @Test mutating func `rows are taken in any order and so are repeated ones`() {
        connect()
        for id: StreamID in [10, 8, 9, 9] {
            #expect(feed.received(row(id), from: .member) == .finish(id, p1))
        }
        #expect(feed.received(position(10, 10), from: .member) == .advance(p1, to: 10))
        #expect(feed.needsDatabase(minimum: 0) == false)
    }

    @Test mutating func `rows are dropped until a position of their writer came on this connection`() {
        connect()
        feed.connected()
        #expect(feed.received(row(8), from: .member) == .nothing)
        #expect(feed.counts.unopened == 1)
        _ = feed.received(position(8, 8, of: Writer("p2", epoch: 1)), from: .member)
        #expect(feed.received(row(8), from: .member) == .nothing)
        _ = feed.received(position(8, 8), from: .member)
        #expect(feed.received(row(9), from: .member) == .finish(9, p1))
    }

    @Test mutating func `a previous token above what was heard has the database asked`() {
        connect()
        let before = feed.counts.gaps
        #expect(feed.received(position(9, 12), from: .member) == .advance(p1, to: 12))
        #expect(feed.needsDatabase(minimum: 8) == true)
        #expect(feed.counts.gaps == before + 1)
        _ = ask(members: [p1])
        #expect(feed.needsDatabase(minimum: 8) == false)
    }

    @Test mutating func `missed rows that the minimum has passed are not asked for`() {
        connect()
        _ = feed.received(position(9, 12), from: .member)
        #expect(feed.needsDatabase(minimum: 9) == false)
    }

    @Test mutating func `a previous token above the new one stands for rows that were not sent`() {
        connect()
        _ = feed.received(row(26), from: .member)
        #expect(feed.received(position(25, 0), from: .member) == .advance(p1, to: 0))
        #expect(feed.needsDatabase(minimum: 24) == true)
    }

    @Test mutating func `what was missed while the database was asked is asked for again`() {
        connect()
        _ = feed.received(position(9, 12), from: .member)
        let request = feed.beginAsking()
        _ = feed.received(position(14, 14), from: .member)
        _ = feed.answered(request, isMember: { $0.writer == p1 })
        #expect(feed.needsDatabase(minimum: 8) == true)
    }

    @Test mutating func `own echoes are ignored in silence`() {
        connect()
        let own = Writer("me", epoch: 3)
        #expect(feed.received(position(40, 50, of: own), from: .own) == .nothing)
        #expect(feed.received(row(51, of: own), from: .own) == .nothing)
        #expect(feed.counts.own == 2)
        #expect(feed.needsDatabase(minimum: 0) == false)
    }

    @Test mutating func `an epoch that is over is dropped`() {
        connect()
        #expect(feed.received(position(40, 50), from: .outdated) == .nothing)
        #expect(feed.received(row(51), from: .outdated) == .nothing)
        #expect(feed.counts.outdated == 2)
        #expect(feed.needsDatabase(minimum: 0) == false)
    }

    @Test mutating func `a newer epoch has the members read and changes nothing by itself`() {
        connect()
        let newer = Writer("p1", epoch: 2)
        #expect(feed.received(position(40, 50, of: newer), from: .stranger) == .nothing)
        #expect(feed.received(row(51, of: newer), from: .stranger) == .nothing)
        #expect(feed.needsDatabase(minimum: 100) == true)
    }

    @Test mutating func `what a new member had said counts from then on`() {
        connect()
        let newer = Writer("p1", epoch: 2)
        _ = feed.received(position(40, 50, of: newer), from: .stranger)
        #expect(ask(members: [newer]) == [.advance(newer, to: 50)])
        #expect(feed.received(row(51, of: newer), from: .member) == .finish(51, newer))
    }

    @Test mutating func `rows of a new member that were dropped are asked for`() {
        connect()
        let newer = Writer("p1", epoch: 2)
        _ = feed.received(position(40, 50, of: newer), from: .stranger)
        _ = feed.received(row(51, of: newer), from: .stranger)
        _ = ask(members: [newer])
        #expect(feed.needsDatabase(minimum: 50) == true)
        #expect(feed.needsDatabase(minimum: 51) == false)
    }

    /// The members were read and taken, and this is about to be told of them.
    @Test mutating func `rows of a new member that come before the answer is handed over are asked for`() {
        connect()
        let newer = Writer("p1", epoch: 2)
        _ = feed.received(position(40, 50, of: newer), from: .stranger)
        #expect(feed.received(row(51, of: newer), from: .member) == .nothing)
        #expect(ask(members: [newer]) == [.advance(newer, to: 50)])
        #expect(feed.needsDatabase(minimum: 50) == true)
        #expect(feed.needsDatabase(minimum: 51) == false)
    }

    @Test mutating func `who is no member is asked for once`() {
        connect()
        let zombie = Writer("p9", epoch: 2)
        _ = feed.received(position(40, 50, of: zombie), from: .stranger)
        #expect(ask(members: [p1]) == [])
        _ = feed.received(position(50, 60, of: zombie), from: .stranger)
        #expect(feed.needsDatabase(minimum: 0) == false)
        #expect(feed.counts.outdated == 1)
    }

    @Test mutating func `strangers without end take no memory without end`() {
        connect()
        for epoch in 1...10_000 { _ = feed.received(position(1, 1, of: Writer("p9", epoch: epoch)), from: .stranger) }
        #expect(feed.needsDatabase(minimum: 0) == true)
        let last = Writer("p9", epoch: 10_000)
        #expect(ask(members: [last]) == [])
        _ = feed.received(position(1, 1, of: last), from: .member)
        #expect(feed.received(row(2, of: last), from: .member) == .finish(2, last))
    }

    @Test mutating func `a connection has caught up once the database was asked since it began`() {
        feed.connected()
        #expect(feed.becameCaughtUp(minimum: 100) == false)
        let early = feed.beginAsking()
        feed.disconnected()
        feed.connected()
        _ = feed.answered(early, isMember: { _ in true })
        #expect(feed.becameCaughtUp(minimum: 100) == false)
        _ = ask(members: [p1])
        #expect(feed.becameCaughtUp(minimum: 100) == true)
        #expect(feed.becameCaughtUp(minimum: 100) == false)
    }

    @Test mutating func `a connection that is gone has not caught up`() {
        feed.connected()
        feed.disconnected()
        _ = ask(members: [p1])
        #expect(feed.becameCaughtUp(minimum: 100) == false)
    }

    @Test mutating func `missed rows have to be asked for before a connection has caught up`() {
        feed.connected()
        _ = ask(members: [p1])
        _ = feed.received(position(9, 9), from: .member)
        #expect(feed.becameCaughtUp(minimum: 8) == false)
        _ = ask(members: [p1])
        #expect(feed.becameCaughtUp(minimum: 8) == true)
    }
}
