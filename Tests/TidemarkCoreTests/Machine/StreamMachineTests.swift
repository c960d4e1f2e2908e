import Testing

@testable import TidemarkCore

/// `#expect` copies what it looks into, which a machine cannot be.
private func expect<Value: Equatable>(
    _ value: Value, _ expected: Value, sourceLocation: SourceLocation = #_sourceLocation
) {
    #expect(value == expected, sourceLocation: sourceLocation)
}

/// What one process decides about one stream, with nothing around it.
@Suite struct StreamMachineTests {
    private let p1 = Writer("p1", epoch: 1)
    private let p2 = Writer("p2", epoch: 1)
    private var members: Membership {
        Membership(members: [p1: 0, p2: 0], version: 5, nonces: [p1: 11, p2: 22])
    }

    private func machine(
        writer: Writer? = nil, _ change: (inout StreamMachine.Configuration) -> Void = { _ in }
    ) -> StreamMachine {
        var configuration = StreamMachine.Configuration()
        change(&configuration)
        var machine = StreamMachine(
            instance: writer?.instance ?? "reader", membership: members, writer: writer, sequence: 0,
            configuration: configuration)
        machine.connecting(listensFirst: .zero, belongsToDatabase: true, now: .zero)
        machine.attached(now: .zero)
        machine.connected(now: .zero)
        _ = machine.takeMessages()
        _ = machine.takeDirectives()
        return machine
    }

    private func found(sequence: StreamID, finished: [ClosedRange<StreamID>] = []) -> Reconciliation {
        Reconciliation(
            membership: members, sequence: sequence, newestCommitted: finished.last?.upperBound ?? 0,
            finished: finished,
            observations: [])
    }

    //  a liar        p1 and p2 are at 100
    //  database                              the sequence is at 50, then at 110
    //  the reader    reconciles: false       reads again: still false
    @Test func `what was found false stays so, however far the sequence has come until it is read again`() {
        var machine = machine()
        for (writer, nonce) in [(p1, Int64(11)), (p2, 22)] {
            machine.received(HeardPosition(Speaker(writer, nonce: nonce), previous: 100, new: 100), now: .zero)
        }
        expect(machine.watermark.minimum, 100)
        let question = machine.beginReconcile(awake: .zero)
        let first = machine.reconciled(
            question, found(sequence: 50), above: question.minimum, now: .zero, awake: .zero)
        #expect(first == .readAgain(above: 0))
        let second = machine.reconciled(question, found(sequence: 110), above: 0, now: .zero, awake: .zero)
        #expect(second == .agreed)
        expect(machine.watermark.minimum, 0)
        expect(machine.confirmed, 0)
    }

    @Test func `a database that is not as far as it was is not believed`() throws {
        var machine = machine(writer: p1)
        let fetch = try machine.beginFetch()
        try machine.committed([60], events: ["a"], in: fetch.number, now: .zero)
        let question = machine.beginReconcile(awake: .zero)
        for answer in [found(sequence: 59), nil] {
            let outcome = machine.reconciled(
                question, answer, above: question.minimum, now: .zero, awake: .zero)
            guard case .wentBackwards = outcome else {
                Issue.record("\(outcome)")
                continue
            }
        }
        expect(machine.known, 60)
        let outcome = machine.reconciled(
            question, found(sequence: 60), above: question.minimum, now: .zero, awake: .zero)
        #expect(outcome == .agreed)
    }

    @Test func `a machine that was told to stop does not run`() {
        var machine = machine(writer: p1)
        machine.stop()
        machine.run(now: .seconds(1))
        machine.timePassed(now: .seconds(60))
        let directives = machine.takeDirectives()
        #expect(directives.isDisjoint(with: [.heartbeat, .reconcile, .catchUp, .send]))
        expect(machine.nextDeadline, nil)
    }

    @Test func `a row is told before the position that covers it`() throws {
        var machine = machine(writer: p1)
        let fetch = try machine.beginFetch()
        try machine.committed([1, 2], events: ["a", "b"], in: fetch.number, now: .seconds(1))
        // Somebody asks: the position is told behind the rows.
        machine.isAsked(now: .seconds(1))
        let speaker = Speaker(p1, nonce: 11)
        expect(
            Array(machine.takeMessages().prefix(2)),
            [.event(speaker, 1, eventID: "a"), .event(speaker, 2, eventID: "b")])
        expect(machine.takeDirectives().contains(.send), true)
    }

    //  p1     commits 1 and 2; 1 was closed meanwhile
    //  p1     its next position says that rows were not told
    @Test func `a position says so where it covers rows that were not told`() throws {
        var machine = machine(writer: p1)
        let fetch = try machine.beginFetch()
        _ = try machine.endFetch(fetch.number, with: [1, 2], asked: 2, since: .zero, deadline: .seconds(30))
        machine.updateMembers([p1: 1, p2: 0], version: 5, now: .seconds(1))
        expect(machine.finish([1, 2], now: .seconds(1)), false)
        machine.isAsked(now: .seconds(2))
        machine.timePassed(now: .seconds(3))
        let positions = machine.takeMessages().compactMap { message in
            if case .position(_, let previous, let new) = message { (previous, new) } else { nil }
        }
        let last = try #require(positions.last)
        #expect(last.1 == 2)
        #expect(positions.contains { $0.0 >= 2 })
    }

    @Test func `rows that nobody could hear are fetched later`() throws {
        var machine = machine(writer: p1)
        machine.disconnected()
        let fetch = try machine.beginFetch()
        try machine.committed([1], events: ["a"], in: fetch.number, now: .seconds(1))
        expect(machine.takeMessages(), [])
        machine.connected(now: .seconds(2))
        expect(machine.takeMessages(), [.position(Speaker(p1, nonce: 11), previous: 1, new: 1)])
    }

    @Test func `IDs of a scope that runs over its limit are abandoned once, and again after a failure`() throws {
        var machine = machine(writer: p1)
        let fetch = try machine.beginFetch()
        let scope = try machine.endFetch(fetch.number, with: [1], asked: 1, since: .zero, deadline: .seconds(2))
        machine.timePassed(now: .seconds(2))
        expect(machine.takeDirectives().contains(.abandon), true)
        let first = machine.takeAbandonments(now: .seconds(2))
        #expect(
            first == [
                StreamMachine.GivenUpIDs(
                    scope: scope, ids: [1], isFirst: true, isLate: false, incarnation: Incarnation(1))
            ])
        expect(machine.finish([1], now: .seconds(2)), false)
        machine.abandonFailed(scope, random: 0.5, now: .seconds(2))
        expect(machine.takeAbandonments(now: .seconds(2)), [])
        machine.timePassed(now: .seconds(3))
        expect(machine.takeAbandonments(now: .seconds(3)).map(\.isFirst), [false])
        machine.abandoned(scope, committed: [], now: .seconds(3))
        expect(machine.position, 1)
        expect(machine.inFlightCount, 0)
        // A void ID becomes neither known nor finished.
        let next = try machine.beginFetch()
        let another = try machine.endFetch(next.number, with: [2], asked: 1, since: .zero, deadline: .seconds(9))
        expect(machine.giveUp([2], scope: another, now: .seconds(4)), true)
        machine.abandoned(another, committed: [], void: [2], now: .seconds(4))
        expect(machine.known, 1)
        expect(machine.position, 1)
        expect(machine.inFlightCount, 0)
    }

    @Test func `nobody asks any more about IDs once the machine has stopped`() throws {
        var machine = machine(writer: p1)
        let fetch = try machine.beginFetch()
        let scope = try machine.endFetch(fetch.number, with: [1], asked: 1, since: .zero, deadline: .seconds(2))
        expect(machine.giveUp([1], scope: scope, now: .zero), true)
        _ = machine.takeAbandonments(now: .zero)
        machine.stop()
        machine.abandonFailed(scope, random: 0.5, now: .zero)
        machine.timePassed(now: .seconds(60))
        expect(machine.takeAbandonments(now: .seconds(60)), [])
    }

    @Test func `a writer joins again once at a time, with one nonce for all attempts`() {
        var machine = machine(writer: p1)
        expect(machine.rejoin(after: p1, random: 7), .join(after: p1, nonce: 7))
        expect(machine.rejoin(after: p1, random: 8), .wait)
        machine.joinFailed()
        expect(machine.rejoin(after: p1, random: 9), .join(after: p1, nonce: 7))
        machine.stop()
        let heir = Writer("p1", epoch: 3)
        let joined = Joined(
            writer: heir, membership: Membership(members: [heir: 4, p2: 0], version: 9, nonces: [heir: 7]), position: 4)
        // It leaves again.
        expect(machine.joined(joined, now: .zero), false)
        expect(machine.rejoin(after: p1, random: 9), .stopped)
    }

    /// A reader notes its minimum, another snapshot shows that another incarnation has begun below it, and then the reader's own
    /// snapshot is opened.
    @Test func `what was noted in a life that is over is asked for again`() {
        let (first, second) = (Era(Incarnation(1), after: 0), Era(Incarnation(2), after: 3))
        var machine = StreamMachine(
            instance: "reader", membership: Membership(members: [p2: 4], version: 5, nonces: [p2: 22], eras: [first]),
            writer: nil, sequence: 3, configuration: StreamMachine.Configuration())
        let note = machine.note()
        expect(note.watermark.minimum, 4)
        machine.take(
            Membership(members: [:], version: 9, incarnation: second.incarnation, eras: [first, second]),
            newestCommitted: 2, now: .zero)
        // The database is right below what was noted, and nothing that was heard was false.
        expect(machine.agree(note, sequence: 3, membershipVersion: 9, now: .zero), false)
        let next = machine.note()
        expect(machine.agree(next, sequence: 3, membershipVersion: 9, now: .zero), true)
    }
}
