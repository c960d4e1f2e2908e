import Testing
import TidemarkCore

/// After a stall of everyone nobody healthy is closed; a process that is gone is, at once.
@Suite struct SilenceWatchStallTests {
    typealias Scene = SilenceWatchTests.Scene
    let none = SilenceWatch.Decision()
    let writer = SilenceWatchTests().dead()
    let gone = SilenceWatchTests().dead(gone: true)

    // MARK: Looking

    @Test func `a look that comes too late starts silence anew`() {
        var scene = Scene()
        scene.pass(writer, from: 0, until: 4.75)
        // The last look was at 4.5, and the observer was stopped until now.
        scene.write(at: 7.01)
        #expect(scene.look(writer, at: 7.01) == none)
        scene.pass(writer, from: 7.25, until: 12)
        #expect(scene.look(writer, at: 12) == none)
        #expect(scene.look(writer, at: 12.01).close == [writer])
    }

    @Test func `a look that is as late as it may be is as good as any`() {
        var scene = Scene()
        scene.pass(writer, from: 0, until: 4.75)
        scene.write(at: 7)
        #expect(scene.look(writer, at: 7).close == [writer])
    }

    @Test func `a look that took too long starts silence anew`() {
        var scene = Scene()
        scene.pass(writer, from: 0, until: 5)
        #expect(scene.look(writer, at: 5, took: 2.51) == none)
        scene.pass(writer, from: 7.75, until: 12.5)
        #expect(scene.look(writer, at: 12.5) == none)
        #expect(scene.look(writer, at: 12.51).close == [writer])
    }

    // MARK: Writing

    @Test func `an observer that never wrote has to try before it closes`() {
        var scene = Scene()
        for quarter in 0..<10 { #expect(scene.look(writer, at: Double(quarter) / 4) == none) }
        for quarter in 10..<24 {
            #expect(scene.look(writer, at: Double(quarter) / 4) == SilenceWatchTests.decision(needsWrite: true))
        }
        scene.write(at: 6)
        #expect(scene.look(writer, at: 6) == SilenceWatchTests.decision(close: [writer]))
    }

    /// Before the writer was silent for half of the timeout a write says nothing: the lock may be taken after it.
    @Test func `a write that began too early shows nothing`() {
        var scene = Scene()
        for quarter in 0..<20 {
            if quarter == 9 { scene.write(at: 2.25) }
            _ = scene.look(writer, at: Double(quarter) / 4)
        }
        #expect(scene.look(writer, at: 5) == SilenceWatchTests.decision(needsWrite: true))
    }

    @Test func `a write that is long ago shows nothing`() {
        var scene = Scene()
        for quarter in 0..<20 {
            if quarter == 10 { scene.write(at: 2.5) }
            _ = scene.look(writer, at: Double(quarter) / 4)
        }
        #expect(scene.look(writer, at: 5) == SilenceWatchTests.decision(close: [writer], needsWrite: true))
        #expect(scene.look(writer, at: 5.01) == SilenceWatchTests.decision(needsWrite: true))
    }

    //  somebody   holds the write lock ………………………………… releases it
    //  p1         waits with its heartbeat                    writes it
    //  observer   waits with its heartbeat            writes it first, and looks
    @Test func `a slow write of the observers own starts silence anew`() {
        var scene = Scene()
        scene.write(at: 0)
        for quarter in 0..<80 { #expect(scene.look(writer, at: Double(quarter) / 4).close.isEmpty) }
        scene.write(at: 1, took: 19)
        scene.write(at: 20.1)
        #expect(scene.look(writer, at: 20.1) == none)
        scene.pass(writer, from: 20.25, until: 25)
        #expect(scene.look(writer, at: 24.99) == none)
        #expect(scene.look(writer, at: 25).close == [writer])
    }

    @Test func `a write that failed starts silence anew`() {
        var scene = Scene()
        scene.pass(writer, from: 0, until: 5)
        scene.watch.interrupted(at: .seconds(4.9))
        #expect(scene.look(writer, at: 5) == none)
        scene.pass(writer, from: 5.25, until: 9.75)
        #expect(scene.look(writer, at: 9.85) == none)
        #expect(scene.look(writer, at: 9.9).close == [writer])
    }

    @Test func `a quick write is one that takes a fifth of the timeout`() {
        var scene = Scene()
        #expect(scene.watch.quickWrite == .seconds(1))
        scene.pass(writer, from: 0, until: 5)
        scene.write(at: 4, took: 1)
        #expect(scene.look(writer, at: 5).close == [writer])
        scene.write(at: 4, took: 1.01)
        #expect(scene.look(writer, at: 5.01) == none)
    }

    // MARK: Gone

    @Test func `whose process is gone is closed at once without any writing`() {
        var scene = Scene()
        #expect(scene.look(gone, at: 0) == SilenceWatchTests.decision(close: [gone]))
        // Nor is it a matter of stalls.
        #expect(scene.look(gone, at: 60) == SilenceWatchTests.decision(close: [gone]))
    }

    @Test func `whose process is gone is left alone while it is not in the way`() {
        var scene = Scene(newest: 4)
        #expect(scene.look(gone, at: 0) == none)
    }

    @Test func `a gone process is forgotten when the name comes back`() {
        var scene = Scene()
        _ = scene.look(gone, at: 0)
        let heir = WriterObservation(writer: Writer("p1", epoch: 4), heartbeat: 8, position: 4)
        #expect(scene.look(heir, at: 0.25) == none)
    }

    // MARK: Retiring

    @Test(arguments: [false, true])
    func `a writer is retired when it was silent for much longer`(isGone: Bool) {
        let silent = SilenceWatchTests().dead(gone: isGone)
        var scene = Scene(newest: 4)
        scene.pass(silent, from: 0, until: 600)
        #expect(scene.look(silent, at: 599.9) == none)
        #expect(scene.look(silent, at: 600) == SilenceWatchTests.decision(retire: [silent]))
    }

    @Test func `who is retired is not closed as well`() {
        var scene = Scene()
        scene.pass(writer, from: 0, until: 600)
        #expect(scene.look(writer, at: 600) == SilenceWatchTests.decision(retire: [writer]))
        scene = Scene()
        scene.pass(gone, from: 0, until: 600)
        #expect(scene.look(gone, at: 600) == SilenceWatchTests.decision(retire: [gone]))
    }

    @Test func `who does not write tries to before it retires anyone`() {
        var scene = Scene(newest: 4)
        for quarter in 0..<2400 { #expect(scene.look(writer, at: Double(quarter) / 4) == none) }
        #expect(scene.look(writer, at: 600) == SilenceWatchTests.decision(needsWrite: true))
        scene.write(at: 600.1)
        #expect(scene.look(writer, at: 600.25) == SilenceWatchTests.decision(retire: [writer]))
    }

    @Test func `after a stall nobody is retired`() {
        var scene = Scene(newest: 4)
        scene.pass(writer, from: 0, until: 599)
        scene.write(at: 605)
        #expect(scene.look(writer, at: 605) == none)
    }

    /// Every history of a healthy writer, its observer and a lock that is held for any time: nobody is closed.
    @Test(arguments: 0..<64)
    func `a healthy writer is never closed`(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var scene = Scene()
        var heartbeat = 0
        var lockedUntil = 0
        // Steps of a tenth of a second; beats are due at each full second, and wait while the lock is held.
        var due: (writer: Int?, observer: Int?) = (nil, nil)
        for step in 0..<6000 {
            if step % 10 == 0 { due = (due.writer ?? step, due.observer ?? step) }
            if step >= lockedUntil, Int.random(in: 0..<100, using: &random) == 0 {
                lockedUntil = step + Int.random(in: 1..<200, using: &random)
            }
            if step >= lockedUntil {
                // The observer's write comes first, and its look before the writer's heartbeat: the worst order.
                if let began = due.observer {
                    scene.write(at: Double(began) / 10, took: Double(step - began) / 10)
                    due.observer = nil
                }
            }
            if Int.random(in: 0..<3, using: &random) > 0 {
                let seen = WriterObservation(writer: Writer("p1", epoch: 1), heartbeat: heartbeat, position: 4)
                #expect(scene.look(seen, at: Double(step) / 10).close.isEmpty, "at step \(step)")
            }
            // It sleeps between its tries for the lock, and comes late.
            if step >= lockedUntil, due.writer != nil, Int.random(in: 0..<3, using: &random) == 0 {
                heartbeat += 1
                due.writer = nil
            }
        }
    }
}
