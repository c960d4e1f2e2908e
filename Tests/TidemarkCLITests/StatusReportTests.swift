import Testing
import Tidemark

@testable import TidemarkCLI

@Suite struct StatusReportTests {
    private func writer(
        _ name: InstanceName, isMember: Bool = true, position: StreamID = 12, isClosed: Bool = false,
        inFlight: Int = 0, heartbeatAge: Int64 = 300
    ) -> StreamStatus.WriterStatus {
        StreamStatus.WriterStatus(
            writer: Writer(name, epoch: 2), isMember: isMember, position: position, isClosed: isClosed,
            inFlight: inFlight, lowestInFlight: inFlight > 0 ? StreamID(position.rawValue + 1) : nil,
            inFlightMilliseconds: inFlight > 0 ? 4200 : nil, heartbeatAgeMilliseconds: heartbeatAge, processID: nil)
    }

    private func report(
        _ writers: [StreamStatus.WriterStatus], minimum: StreamID = 12, consumers: [StreamStatus.ConsumerStatus] = []
    ) -> StatusReport {
        StatusReport(
            status: StreamStatus(
                stream: "events", sequence: 14, newestEvent: 12, minimumPersisted: minimum, writers: writers,
                consumers: consumers))
    }

    @Test func `the JSON has its members in the documented order, and writers by name`() {
        let report = report(
            [writer("p2", position: 9, inFlight: 2), writer("p1")], minimum: 9,
            consumers: [.init(name: "c1", position: 5)])
        #expect(
            report.json
                == #"{"stream":"events","sequence":14,"minimum_persisted":9,"#
                + #""held_back_by":{"instance":"p2","reason":"in_flight","since_ms":4200},"writers":["#
                + #"{"instance":"p1","epoch":2,"position":12,"state":"active","in_flight":0,"heartbeat_age_ms":300},"#
                + #"{"instance":"p2","epoch":2,"position":9,"state":"active","in_flight":2,"heartbeat_age_ms":300}],"#
                + #""consumers":[{"name":"c1","position":5,"lag":7}]}"#)
        #expect(self.report([]).json.contains(#""held_back_by":null,"writers":[],"consumers":[]}"#))
    }

    @Test func `a writer is active, silent, closed or has left`() {
        #expect(StatusReport.state(of: writer("p")) == "active")
        #expect(StatusReport.state(of: writer("p", heartbeatAge: 3001)) == "silent")
        #expect(StatusReport.state(of: writer("p", isClosed: true, heartbeatAge: 9000)) == "closed")
        #expect(StatusReport.state(of: writer("p", isMember: false, isClosed: true)) == "left")
    }

    @Test func `tables are aligned`() {
        #expect(StatusReport.table([["A", "BB"], ["aaa", "b"]]) == "A    BB\naaa  b\n")
    }
}
