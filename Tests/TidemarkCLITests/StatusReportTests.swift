import Testing
import Tidemark

@testable import TidemarkCLI

@Suite struct StatusReportTests {
    private func writer(
        _ name: InstanceName, isMember: Bool = true, position: StreamID = 12, isClosed: Bool = false,
        inFlight: Int = 0, heartbeatAge: Int64 = 300, isGone: Bool = false
    ) -> StreamStatus.WriterStatus {
        StreamStatus.WriterStatus(
            writer: Writer(name, epoch: 2), isMember: isMember, position: position, isClosed: isClosed,
            inFlight: inFlight, lowestInFlight: inFlight > 0 ? StreamID(position.rawValue + 1) : nil,
            inFlightMilliseconds: inFlight > 0 ? 4200 : nil, heartbeatAgeMilliseconds: heartbeatAge, processID: nil,
            isProcessGone: isGone)
    }

    private func report(
        _ writers: [StreamStatus.WriterStatus], minimum: StreamID = 12, consumers: [StreamStatus.ConsumerStatus] = [],
        holder: String? = nil, log: StreamStatus.LogStatus? = nil, left: Int = 0
    ) -> StatusReport {
        StatusReport(
            status: StreamStatus(
                stream: "events", sequence: 14, newestEvent: 12, minimumPersisted: minimum, writers: writers,
                consumers: consumers, writeLockHolder: holder, log: log, leftCount: left))
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
                + #""consumers":[{"name":"c1","position":5,"lag":7,"parked":0,"partitions":[]}],"left":0,"write_lock_held_by":null,"#
                + #""wal":null,"in_the_way":[],"key_index":null,"pruned_through":0}"#
        )
        #expect(self.report([]).json.contains(#""held_back_by":null,"writers":[],"consumers":[],"left":0,"#))
    }

    @Test func `a writer is active, silent, closed, gone, waiting or has left`() {
        let report = report([])
        #expect(report.state(of: writer("p")) == "active")
        #expect(report.state(of: writer("p", heartbeatAge: 3001)) == "silent")
        #expect(report.state(of: writer("p", isClosed: true, heartbeatAge: 9000)) == "closed")
        #expect(report.state(of: writer("p", isMember: false, isClosed: true)) == "left")
        #expect(report.state(of: writer("p", heartbeatAge: 0, isGone: true)) == "gone")
        #expect(self.report([], holder: "process 7").state(of: writer("p", heartbeatAge: 3001)) == "waiting")
    }

    @Test func `who holds the write lock, who keeps the -wal and how many left is said where there is any`() {
        let plain = report([writer("p1")]).text
        #expect(!plain.contains("write lock") && !plain.contains("-wal") && !plain.contains("left"))
        let report = report(
            [writer("p1")], holder: "process 7", log: .init(bytes: 300 << 20, keptBy: ["process 8 (sqlite3)"]), left: 3)
        #expect(report.text.contains("write lock held by  process 7\n"))
        #expect(report.text.contains("300 MiB, kept by process 8 (sqlite3)\n"))
        #expect(report.text.contains("writers that left   3\n"))
        #expect(
            report.json.hasSuffix(
                #""left":3,"write_lock_held_by":"process 7","wal":{"bytes":314572800,"kept_by":["process 8 (sqlite3)"]},"in_the_way":[],"key_index":null,"pruned_through":0}"#
            ))
    }

    @Test func `transactions that stand in the way are said, with what waits for them`() {
        let blocker = StreamStatus.Blocker(
            instance: "p1", holdsUp: [.settling, .closing],
            holder: "backend 47 of role app (psql), idle in transaction",
            processID: 47, prepared: nil, milliseconds: 62_000, waiting: 1)
        let report = StatusReport(
            status: StreamStatus(
                stream: "events", sequence: 14, newestEvent: 12, minimumPersisted: 12, writers: [], consumers: [],
                blockers: [blocker]))
        #expect(
            report.text.contains(
                "in the way         backend 47 of role app (psql), idle in transaction, for 62000 ms: in the way of closing "
                    + "and settling p1, which 1 waits for\n"))
        #expect(
            report.json.hasSuffix(
                #""wal":null,"in_the_way":[{"instance":"p1","holds_up":["closing","settling"],"#
                    + #""holder":"backend 47 of role app (psql), idle in transaction","backend":47,"prepared":null,"#
                    + #""since_ms":62000,"waiting":1}],"key_index":null,"pruned_through":0}"#))
    }

    @Test func `a processor is shown with its partitions, whoever has them, and what it has parked`() {
        let report = report(
            [],
            consumers: [
                .init(
                    name: "mailer", position: 5, parked: 2,
                    partitions: [
                        .init(
                            partition: 0, position: 12, owner: ProcessorProcess(7), processID: 4711, oldestHandler: 13,
                            handlerMilliseconds: 65_000), .init(partition: 1, position: 5),
                        .init(partition: 2, position: 5, owner: ProcessorProcess(8)),
                    ]), .init(name: "plain", position: 12),
                .init(name: "stuck", position: 12, parked: StreamStatus.ConsumerStatus.mostParked),
            ])
        let partitions = [
            #"{"partition":0,"position":12,"lag":0,"owned":true,"process":4711,"handling":{"stream_id":13,"since_ms":65000}}"#,
            #"{"partition":1,"position":5,"lag":7,"owned":false,"process":null,"handling":null}"#,
            #"{"partition":2,"position":5,"lag":7,"owned":true,"process":null,"handling":null}"#,
        ].joined(separator: ",")
        let mailer = #"{"name":"mailer","position":5,"lag":7,"parked":2,"partitions":["# + partitions + "]}"
        #expect(report.json.contains(mailer))
        let text = """
            CONSUMER  POSITION  LAG  PARKED
            mailer    5         7    2
            plain     12        0
            stuck     12        0    100000 or more

            PARTITION  POSITION  LAG  OWNER                   HANDLING
            mailer/0   12        0    process 4711            13, begun 65 s ago
            mailer/1   5         7    nobody
            mailer/2   5         7    a process that is gone

            """
        #expect(report.text.hasSuffix(text), "\(report.text)")
    }

    @Test func `the index of keys and how far a stream was pruned are said where there is something to say`() {
        func report(_ index: KeyIndexState, pruned: StreamID = 0) -> StatusReport {
            StatusReport(
                status: StreamStatus(
                    stream: "events", sequence: 14, newestEvent: 12, minimumPersisted: 12, writers: [], consumers: [],
                    keyIndex: index, prunedThrough: pruned))
        }
        #expect(!report(.missing).text.contains("index") && !report(.missing).text.contains("pruned"))
        #expect(report(.complete, pruned: 4).text.hasSuffix("index of keys      complete\npruned through     4\n"))
        let end = #""key_index":{"complete":true,"from":0},"pruned_through":4}"#
        #expect(report(.complete, pruned: 4).json.hasSuffix(end))
        let building = report(.building(from: 9))
        #expect(building.text.hasSuffix("index of keys      from ID 9 on; it is being built (tidemark index)\n"))
        #expect(building.json.contains(#""key_index":{"complete":false,"from":9}"#))
    }

    @Test func `tables are aligned`() {
        #expect(StatusReport.table([["A", "BB"], ["aaa", "b"]]) == "A    BB\naaa  b\n")
    }
}
