import Testing
import TidemarkCore

@Suite struct SilenceWatchTests {
    /// A watch at a minimum of 4 with 9 known, and what it is shown. Seconds of its clock count from 0.
    struct Scene {
        var watch = SilenceWatch(timeout: .seconds(5), retirement: .seconds(600))
        var minimum: StreamID = 4
        var newest: StreamID = 9
        var positions: [Writer: StreamID] = [:]

        mutating func look(
            _ writers: WriterObservation..., at seconds: Double, took: Double = 0
        ) -> SilenceWatch.Decision {
            watch.look(
                at: writers, as: "me", positions: positions, minimum: minimum, newest: newest,
                from: .seconds(seconds), to: .seconds(seconds + took))
        }

        mutating func write(at seconds: Double, took: Double = 0) {
            watch.wrote(from: .seconds(seconds), to: .seconds(seconds + took))
        }

        /// Looks every quarter of a second from `start` on up to, but not at, `end`, writing each second.
        mutating func pass(_ writers: WriterObservation..., from start: Double, until end: Double) {
            for quarter in Int(start * 4)..<Int(end * 4) {
                let seconds = Double(quarter) / 4
                if quarter % 4 == 0 { write(at: seconds) }
                for writer in writers { _ = look(writer, at: seconds) }
            }
        }
    }

    func dead(_ name: InstanceName = "p1", heartbeat: Int = 7, gone: Bool = false) -> WriterObservation {
        WriterObservation(writer: Writer(name, epoch: 3), heartbeat: heartbeat, position: 4, isProcessGone: gone)
    }

    static func decision(
        close: [WriterObservation] = [], retire: [WriterObservation] = [], needsWrite: Bool = false
    ) -> SilenceWatch.Decision {
        var decision = SilenceWatch.Decision()
        decision.close = close
        decision.retire = retire
        decision.needsWrite = needsWrite
        return decision
    }

    // MARK: Silence

    @Test func `a writer is closed when it was silent for the timeout and not before`() {
        var scene = Scene()
        scene.pass(dead(), from: 0, until: 5)
        #expect(scene.look(dead(), at: 4.99) == Self.decision())
        #expect(scene.look(dead(), at: 5) == Self.decision(close: [dead()]))
    }

    @Test func `it is named again until it is out of the way`() {
        var scene = Scene()
        scene.pass(dead(), from: 0, until: 5)
        #expect(scene.look(dead(), at: 5).close == [dead()])
        #expect(scene.look(dead(), at: 5.25).close == [dead()])
        let closed = WriterObservation(writer: dead().writer, heartbeat: 7, position: 9)
        scene.minimum = 9
        #expect(scene.look(closed, at: 5.5) == Self.decision())
    }

    @Test func `a heartbeat starts silence anew`() {
        var scene = Scene()
        scene.pass(dead(), from: 0, until: 4.75)
        scene.pass(dead(heartbeat: 8), from: 4.75, until: 9.75)
        #expect(scene.look(dead(heartbeat: 8), at: 9.5) == Self.decision())
        #expect(scene.look(dead(heartbeat: 8), at: 9.75).close == [dead(heartbeat: 8)])
    }

    /// Any other number is a sign of life: a database that was put back counts up again from below.
    @Test func `a lower heartbeat is a sign of life too`() {
        var scene = Scene()
        scene.pass(dead(), from: 0, until: 5)
        #expect(scene.look(dead(heartbeat: 6), at: 5).close.isEmpty)
    }

    @Test func `a new epoch starts silence anew`() {
        var scene = Scene()
        scene.pass(dead(), from: 0, until: 5)
        let heir = WriterObservation(writer: Writer("p1", epoch: 4), heartbeat: 7, position: 4)
        #expect(scene.look(heir, at: 5).close.isEmpty)
        scene.pass(heir, from: 5.25, until: 10)
        #expect(scene.look(heir, at: 10).close == [heir])
    }

    @Test func `silence begins when a writer is seen first however long it is dead`() {
        var scene = Scene()
        scene.pass(from: 0, until: 60)
        #expect(scene.look(dead(), at: 60) == Self.decision())
    }

    @Test func `silence is counted from the end of a look to the beginning of another`() {
        var scene = Scene()
        _ = scene.look(dead(), at: 0, took: 1)
        scene.pass(dead(), from: 1.25, until: 6)
        #expect(scene.look(dead(), at: 5.9, took: 2) == Self.decision())
        #expect(scene.look(dead(), at: 6).close == [dead()])
    }

    // MARK: In the way

    @Test(arguments: [(StreamID(9), StreamID(9)), (5, 4), (4, 4)])
    func `nobody is in the way of a minimum that has reached the newest ID`(minimum: StreamID, newest: StreamID) {
        var scene = Scene(minimum: minimum, newest: newest)
        scene.pass(dead(), from: 0, until: 60)
        #expect(scene.look(dead(), at: 60) == Self.decision())
    }

    @Test func `a writer ahead of the minimum is not in the way`() {
        var scene = Scene()
        let ahead = WriterObservation(writer: Writer("p1", epoch: 3), heartbeat: 7, position: 5)
        scene.pass(ahead, from: 0, until: 60)
        #expect(scene.look(ahead, at: 60) == Self.decision())
    }

    /// Its durable position lags behind what was heard of it.
    @Test func `a writer that was heard ahead of the minimum is not in the way`() {
        var scene = Scene()
        scene.positions = [dead().writer: 5]
        scene.pass(dead(), from: 0, until: 60)
        #expect(scene.look(dead(), at: 60) == Self.decision())
        // What was heard of another epoch says nothing of this one.
        scene.positions = [Writer("p1", epoch: 2): 9]
        #expect(scene.look(dead(), at: 60.25).close == [dead()])
    }

    @Test func `silence is counted before the writer is in the way`() {
        var scene = Scene(newest: 4)
        scene.pass(dead(), from: 0, until: 20)
        scene.newest = 9
        #expect(scene.look(dead(), at: 20).close == [dead()])
    }

    @Test func `the observer never names itself`() {
        var scene = Scene()
        let own = [1, 2].map { WriterObservation(writer: Writer("me", epoch: $0), heartbeat: 1, position: 0) }
        let gone = WriterObservation(writer: Writer("me", epoch: 3), heartbeat: 1, position: 0, isProcessGone: true)
        for second in 0..<700 {
            scene.write(at: Double(second))
            #expect(scene.look(own[0], at: Double(second)) == Self.decision())
            #expect(scene.look(own[1], at: Double(second)) == Self.decision())
            #expect(scene.look(gone, at: Double(second)) == Self.decision())
        }
    }

    @Test func `only the silent one of several is closed`() {
        var scene = Scene()
        for quarter in 0...20 {
            let seconds = Double(quarter) / 4
            scene.write(at: seconds)
            let decision = scene.look(dead(), dead("p2", heartbeat: quarter / 4), at: seconds)
            #expect(decision.close == (seconds == 5 ? [dead()] : []))
        }
    }

    @Test func `who is no member any more is forgotten`() {
        var scene = Scene()
        scene.pass(dead(), from: 0, until: 5)
        #expect(scene.look(at: 5) == Self.decision())
        #expect(scene.look(dead(), at: 5.25) == Self.decision())
    }
}
