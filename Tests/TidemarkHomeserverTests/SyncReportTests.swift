import Testing
import TidemarkCore
import TidemarkHomeserver
import TidemarkWire

/// What an instance says of its syncs, with a clock that the test moves.
@Suite struct SyncReportTests {
    private let alice = try? device("@alice:b", "phone")
    private let bob = try? device("@bob:b", nil)

    private func report(piece: Int = 500) throws -> SyncReport {
        var timing = SyncReport.Timing()
        timing.piece = piece
        return SyncReport(instanceID: try FieldText(validating: "run-1"), timing: timing)
    }

    private func connected(piece: Int = 500) throws -> SyncReport {
        var report = try report(piece: piece)
        #expect(report.connected(at: .zero).isEmpty)
        return report
    }

    private func lines(_ commands: [ReplicationCommand]) -> [String] { commands.map(\.line) }

    @Test func `the first sync of a device is told and the others are not`() throws {
        let alice = try #require(alice)
        var report = try connected()
        #expect(lines(report.begin(alice, at: 5)) == ["USER_SYNC run-1 @alice:b phone start 5"])
        #expect(report.begin(alice, at: 6).isEmpty)
        #expect(try lines(report.begin(#require(bob), at: 7)) == ["USER_SYNC run-1 @bob:b None start 7"])
    }

    @Test func `the end is told after the last sync and the grace time`() throws {
        let alice = try #require(alice)
        var report = try connected()
        _ = report.begin(alice, at: 5)
        _ = report.begin(alice, at: 6)
        report.end(alice, at: 7, now: .seconds(1))
        #expect(report.look(at: .seconds(20)).isEmpty)
        report.end(alice, at: 8, now: .seconds(20))
        #expect(report.nextLook == .seconds(30) && report.look(at: .seconds(29)).isEmpty)
        // With the time at which it was seen last, not that of the telling.
        #expect(lines(report.look(at: .seconds(30))) == ["USER_SYNC run-1 @alice:b phone end 8"])
        #expect(report.look(at: .seconds(31)).isEmpty)
    }

    @Test func `a sync that begins within the grace time is as if none had ended`() throws {
        let alice = try #require(alice)
        var report = try connected()
        _ = report.begin(alice, at: 1)
        for second in 1...50 {
            report.end(alice, at: 2, now: .seconds(second))
            #expect(report.begin(alice, at: 3).isEmpty)
            #expect(report.look(at: .seconds(second)).isEmpty)
        }
        report.end(alice, at: 4, now: .seconds(60))
        #expect(report.look(at: .seconds(69)).isEmpty)
        #expect(lines(report.look(at: .seconds(70))) == ["USER_SYNC run-1 @alice:b phone end 4"])
    }

    @Test func `without a connection nothing is said and a new one is told everything`() throws {
        let (alice, bob) = (try #require(alice), try #require(bob))
        var report = try report()
        #expect(report.begin(alice, at: 1).isEmpty && report.nextLook == nil)
        #expect(lines(report.connected(at: .seconds(1))) == ["USER_SYNC run-1 @alice:b phone start 1"])
        report.disconnected()
        _ = report.begin(bob, at: 2)
        report.end(alice, at: 3, now: .seconds(2))
        // It ends while there is no connection.
        #expect(report.look(at: .seconds(12)).isEmpty)
        #expect(
            Set(lines(report.connected(at: .seconds(13)))) == [
                "USER_SYNC run-1 @alice:b phone end 3", "USER_SYNC run-1 @bob:b None start 2",
            ])
    }

    @Test func `everything is told again regularly so that nobody takes the instance to be gone`() throws {
        var report = try connected()
        _ = try report.begin(#require(alice), at: 1)
        var told: [Duration] = []
        for second in 1...600 where !report.look(at: .seconds(second)).isEmpty { told.append(.seconds(second)) }
        #expect(told == [120, 240, 360, 480, 600].map { .seconds($0) })
        #expect(SyncReport.Timing().repetition * 2 < SyncingUsers.Limits().silence)
    }

    @Test func `an end is told again for a while because the first message may be lost`() throws {
        let alice = try #require(alice)
        var report = try connected()
        _ = report.begin(alice, at: 1)
        report.end(alice, at: 2, now: .zero)
        let told = (1...900).flatMap { report.look(at: .seconds($0)) }
        #expect(lines(told) == Array(repeating: "USER_SYNC run-1 @alice:b phone end 2", count: 3))
    }

    @Test func `who begins again is no longer told to have ended`() throws {
        let alice = try #require(alice)
        var report = try connected()
        _ = report.begin(alice, at: 1)
        report.end(alice, at: 2, now: .zero)
        _ = report.look(at: .seconds(10))
        _ = report.begin(alice, at: 3)
        #expect(lines(report.look(at: .seconds(120))) == ["USER_SYNC run-1 @alice:b phone start 3"])
    }

    @Test func `who asks is answered at once and those who ask after that together`() throws {
        var report = try connected()
        _ = try report.begin(#require(alice), at: 1)
        report.asked(at: .seconds(100))
        #expect(report.look(at: .seconds(100)).count == 1)
        var count = 0
        for millisecond in stride(from: 100_000, to: 110_000, by: 10) {
            report.asked(at: .milliseconds(millisecond))
            count += report.look(at: .milliseconds(millisecond)).count
        }
        #expect(count == 1)
    }

    @Test func `a long telling goes out in pieces`() throws {
        var report = try report(piece: 100)
        for number in 0..<250 { _ = try report.begin(device("@u\(number):b", nil), at: 1) }
        var pieces = [lines(report.connected(at: .zero))]
        // What changes meanwhile is told as it is then.
        _ = try report.begin(device("@late:b", nil), at: 2)
        while let next = report.nextLook, next < .seconds(1) { pieces.append(lines(report.look(at: next))) }
        #expect(pieces.map(\.count) == [100, 100, 50])
        #expect(Set(pieces.joined()).count == 250)
    }

    @Test func `a long telling ends with its connection`() throws {
        var report = try report(piece: 1)
        for number in 0..<3 { _ = try report.begin(device("@u\(number):b", nil), at: 1) }
        _ = report.connected(at: .zero)
        report.disconnected()
        #expect(report.nextLook == nil && report.look(at: .seconds(200)).isEmpty)
    }

    @Test func `an orderly stop says that all is over`() throws {
        var report = try connected()
        _ = try report.begin(#require(alice), at: 1)
        #expect(lines(report.stop()) == ["CLEAR_USER_SYNC run-1"])
        #expect(report.stop().isEmpty && report.nextLook == nil && report.look(at: .seconds(500)).isEmpty)
        #expect(try report.begin(#require(bob), at: 1).isEmpty)
    }

    @Test func `a device that would read as none is refused`() throws {
        #expect(throws: InvalidCommandText.reserved("None")) { try device("@a:b", "None") }
    }
}

func device(_ user: String, _ device: String?) throws -> SyncingDevice {
    try SyncingDevice(
        user: FieldText(validating: user), device: device.map { try FieldText(validating: $0) })
}
