import Testing
import Tidemark

@Suite struct HeldBackTests {
    private func writer(
        _ name: InstanceName, at position: StreamID, age: Int64 = 100, inFlight lowest: StreamID? = nil,
        isMember: Bool = true, isClosed: Bool = false, isGone: Bool = false
    ) -> StreamStatus.WriterStatus {
        StreamStatus.WriterStatus(
            writer: Writer(name, epoch: 1), isMember: isMember, position: position, isClosed: isClosed,
            inFlight: lowest == nil ? 0 : 1, lowestInFlight: lowest, inFlightMilliseconds: lowest.map { _ in 700 },
            heartbeatAgeMilliseconds: age, processID: nil, isProcessGone: isGone)
    }

    private func heldBack(
        _ writers: [StreamStatus.WriterStatus], newest: StreamID = 9, lockHolder: String? = nil
    ) -> HeldBack? {
        StreamStatus(
            stream: "events", sequence: newest, newestEvent: newest,
            minimumPersisted: writers.filter(\.isMember).map(\.position).min() ?? newest, writers: writers,
            consumers: [], writeLockHolder: lockHolder
        ).heldBack()
    }

    @Test func `nobody holds a minimum back that is at the newest event`() {
        #expect(heldBack([writer("p1", at: 9, age: 60_000)]) == nil)
    }

    @Test func `each reason has its name and its time`() {
        let cases: [(StreamStatus.WriterStatus, String?, HeldBack.Reason, String, Int64)] = [
            (writer("p1", at: 4, inFlight: 5), nil, .inFlight(5), "in_flight", 700),
            (writer("p1", at: 4), nil, .unheard, "unheard", 100),
            (writer("p1", at: 4, age: 5_000), nil, .silent, "silent", 5_000),
            (
                writer("p1", at: 4, age: 5_000), "process 7 (sqlite3)", .writeLockHeld(by: "process 7 (sqlite3)"),
                "write_lock_held", 5_000
            ),
            (writer("p1", at: 4, isGone: true), nil, .gone, "gone", 100),
            (writer("p1", at: 4, isClosed: true), nil, .closed, "closed", 100),
        ]
        for (writer, holder, reason, name, since) in cases {
            let held = heldBack([writer], lockHolder: holder)
            #expect(held == HeldBack(instance: "p1", reason: reason, since: .milliseconds(since)))
            #expect(held?.reason.name == name)
        }
    }

    @Test func `a heartbeat that is a little late is no silence`() {
        #expect(heldBack([writer("p1", at: 4, age: 3_000)])?.reason == .unheard)
        #expect(heldBack([writer("p1", at: 4, age: 3_001)])?.reason == .silent)
    }

    @Test func `of those that the minimum waits for, the one with the clearest reason is named`() {
        let writers = [
            writer("idle", at: 4), writer("dead", at: 4, isGone: true), writer("slow", at: 4, inFlight: 5),
            writer("ahead", at: 8, age: 60_000), writer("left", at: 2, age: 60_000, isMember: false),
        ]
        for rotation in writers.indices {
            #expect(heldBack(Array(writers[rotation...] + writers[..<rotation]))?.instance == "dead")
        }
    }
}
