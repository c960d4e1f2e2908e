import Testing
import Tidemark

@testable import TidemarkCLI

/// What `replication watch` writes, without a transport or a clock.
@Suite struct WatchReportTests {
    private func output(_ lines: [String], format: WatchReport.Format = .text) throws -> [String] {
        var report = WatchReport(format: format)
        for line in lines { _ = report.heard(try ReplicationCommand(parsing: line), time: 0) }
        return report.summaries(now: .zero, time: 0).split(separator: "\n").map(String.init)
    }

    @Test func `a command is written as the line that was heard`() throws {
        var report = WatchReport(format: .text)
        for line in ["RDATA events p1#1.7 5 [\"ev\", {}]", "REMOTE_SERVER_UP example.org", "REPLICATE"] {
            #expect(report.heard(try ReplicationCommand(parsing: line), time: 0) == line + "\n")
        }
    }

    /// What is in such a row is between the processes of that software: a cache is told by the access token that it is for.
    @Test(arguments: [WatchReport.Format.text, .json])
    func `rows of other software are shown by size unless they are asked for`(format: WatchReport.Format) throws {
        let line = "RDATA caches master 5 [\"get_user_by_access_token\",[\"syt_secret\"],1]"
        let command = try ReplicationCommand(parsing: line)
        var report = WatchReport(format: format)
        let shown = report.heard(command, time: 0)
        #expect(shown.contains("RDATA caches master 5 (a row of 45 bytes)") && !shown.contains("syt_"))
        // Half a batch too.
        let batch = try ReplicationCommand(parsing: line.replacing(" 5 ", with: " batch "))
        #expect(!report.heard(batch, time: 0).contains("syt_") && !batch.description.contains("syt_"))
        var open = WatchReport(format: format, showsRows: true)
        #expect(open.heard(command, time: 0).contains("syt_secret"))
        let userIP = try ReplicationCommand(parsing: "USER_IP @a:b [\"s3cret\",\"192.0.2.1\",\"agent\",\"dev\",1]")
        #expect(!open.heard(userIP, time: 0).contains("s3cret"))
    }

    @Test func `an interruption is told`() throws {
        var report = WatchReport(format: .text)
        // While it was never there the log says why.
        #expect(report.heard(.disconnected(reason: "refused"), time: 0) == "")
        #expect(report.heard(.connected, time: 0) == "")
        #expect(report.heard(.disconnected(reason: "a\nb"), time: 0) == "# the connection is gone: a b\n")
        #expect(
            report.heard(.connected, time: 0)
                == "# the connection is back: what was said in between is missing here\n")
        var json = WatchReport(format: .json)
        _ = json.heard(.connected, time: 0)
        for event in [ReplicationEvent.disconnected(reason: "\"\n"), .connected] {
            _ = try JSONText(validating: String(json.heard(event, time: 0).dropLast()))
        }
    }

    @Test func `how many lines were skipped is told when it has grown`() {
        var report = WatchReport(format: .text)
        #expect(report.skipped(0, now: .zero, time: 0) == "")
        #expect(report.skipped(1, now: .zero, time: 0).hasPrefix("# 1 line skipped so far"))
        #expect(report.skipped(5, now: .seconds(9), time: 0) == "")
        #expect(report.skipped(5, now: .seconds(10), time: 0).hasPrefix("# 5 lines skipped so far"))
        #expect(report.skipped(5, now: .seconds(30), time: 0, isEnd: true) == "")
        #expect(report.skipped(6, now: .seconds(31), time: 0, isEnd: true).hasPrefix("# 6 lines"))
    }

    @Test func `as JSONA command has its time and name`() throws {
        var report = WatchReport(format: .json)
        let line = report.heard(try ReplicationCommand(parsing: "RDATA events p1#1.7 5 [\"ev\"]"), time: 1)
        #expect(
            line == "{\"time\":\"1970-01-01T00:00:00.001Z\",\"command\":\"RDATA\""
                + ",\"line\":\"RDATA events p1#1.7 5 [\\\"ev\\\"]\"}\n")
    }

    @Test(arguments: [WatchReport.Format.text, .json])
    func `an access token is never written`(format: WatchReport.Format) throws {
        var report = WatchReport(format: format)
        let line = report.heard(
            try ReplicationCommand(parsing: "USER_IP @a:b [\"s3cret\",\"192.0.2.1\",\"agent\",\"dev\",1]"), time: 0)
        #expect(line.contains("USER_IP @a:b") && !line.contains("s3cret") && !line.contains("192.0.2.1"))
    }

    @Test func `what would change a terminal is escaped`() throws {
        var report = WatchReport(format: .text)
        let line = report.heard(try ReplicationCommand(parsing: "REMOTE_SERVER_UP \u{1B}[2Jx"), time: 0)
        #expect(line == "REMOTE_SERVER_UP \\u{1B}[2Jx\n")
    }

    @Test func `the minimum is the least position and is called an estimate`() throws {
        #expect(
            try output(["POSITION events p2#1 7 7", "POSITION events p1#3 3 5", "POSITION caches p1#3 2 2"]) == [
                "# caches: estimated minimum 2 (p1#3 2)", "# events: estimated minimum 5 (p1#3 5, p2#1 7)",
            ])
        #expect(
            try output(["POSITION events p1#3 3 5"], format: .json) == [
                "{\"time\":\"1970-01-01T00:00:00.000Z\",\"stream\":\"events\",\"estimated_minimum\":5,"
                    + "\"positions\":[{\"instance\":\"p1\",\"epoch\":3,\"position\":5}]}"
            ])
    }

    @Test func `a stream that begins again is where its writer says now`() throws {
        #expect(
            try output(["POSITION typing master 500 500", "POSITION typing master 0 0", "RDATA typing master 2 [1]"])
                == ["# typing: estimated minimum 2 (master 2)"])
        // What was not sent says nothing of where it is, and a promise of Tidemark's stays true.
        #expect(
            try output([
                "POSITION typing master 9 9", "POSITION typing master 12 0", "POSITION events p1#1 9 9",
                "POSITION events p1#1 7 7",
            ]) == ["# events: estimated minimum 9 (p1#1 9)", "# typing: estimated minimum 9 (master 9)"])
    }

    @Test func `a row moves a writer without an epoch and no other`() throws {
        #expect(
            try output([
                "RDATA events master batch [1]", "RDATA events master 5 [2]", "POSITION events p1#3 4 4",
                "RDATA events p1#3 9 [3]",
            ]) == ["# events: estimated minimum 4 (master 5, p1#3 4)"])
        // Half a batch says nothing yet.
        #expect(try output(["RDATA events master batch [1]"]) == [])
    }

    @Test func `only the newest epoch of a name counts and positions that are late do not`() throws {
        #expect(
            try output([
                "POSITION events p1#2 40 40", "POSITION events p1#3 30 30", "POSITION events p1#2 50 50",
                "POSITION events p1#3 20 20", "POSITION events p1 90 90",
            ]) == ["# events: estimated minimum 30 (p1#3 30)"])
    }

    @Test func `what has not changed is not written again and what has at most once a second`() throws {
        var report = WatchReport(format: .text)
        _ = report.heard(try ReplicationCommand(parsing: "POSITION events p1 1 1"), time: 0)
        #expect(report.summaries(now: .seconds(5), time: 0) == "# events: estimated minimum 1 (p1 1)\n")
        #expect(report.summaries(now: .seconds(9), time: 0) == "" && report.nextSummary(now: .seconds(9)) == nil)
        _ = report.heard(try ReplicationCommand(parsing: "POSITION events p1 1 1"), time: 0)
        #expect(report.nextSummary(now: .seconds(9)) == nil)
        _ = report.heard(try ReplicationCommand(parsing: "POSITION events p1 1 2"), time: 0)
        #expect(report.summaries(now: .seconds(9), time: 0).contains("minimum 2"))
        _ = report.heard(try ReplicationCommand(parsing: "POSITION events p1 2 3"), time: 0)
        #expect(report.nextSummary(now: .seconds(9.5)) == .seconds(10))
        #expect(report.summaries(now: .seconds(9.5), time: 0) == "")
        // The last word is not held back.
        #expect(report.summaries(now: .seconds(9.5), time: 0, isEnd: true).contains("minimum 3"))
    }

    @Test func `there is a bound on streams and writers`() throws {
        var streams = HeardStreams()
        for number in 0..<3000 {
            streams.heard(try ReplicationCommand(parsing: "POSITION s\(number) p1 1 1"))
            streams.heard(try ReplicationCommand(parsing: "POSITION s0 p\(number) 1 1"))
        }
        let summaries = streams.takeChanged()
        #expect(summaries.count == 1000)
        #expect(summaries.first.map { $0.positions.count == 1000 && $0.uncounted > 0 } == true)
    }
}
