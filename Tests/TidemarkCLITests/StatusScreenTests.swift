import Testing
import Tidemark

@testable import TidemarkCLI

@Suite struct StatusScreenTests {
    private func writer(
        _ name: InstanceName, epoch: Int = 1, at position: StreamID, age: Int64 = 100, isMember: Bool = true,
        isGone: Bool = false
    ) -> StreamStatus.WriterStatus {
        StreamStatus.WriterStatus(
            writer: Writer(name, epoch: epoch), isMember: isMember, position: position, isClosed: false, inFlight: 0,
            lowestInFlight: nil, inFlightMilliseconds: nil, heartbeatAgeMilliseconds: age, processID: nil,
            isProcessGone: isGone)
    }

    private func status(
        _ writers: [StreamStatus.WriterStatus], newest: StreamID, consumers: [(ConsumerName, StreamID)] = []
    ) -> StreamStatus {
        StreamStatus(
            stream: "events", sequence: newest, newestEvent: newest,
            minimumPersisted: writers.filter(\.isMember).map(\.position).min() ?? newest, writers: writers,
            consumers: consumers.map { StreamStatus.ConsumerStatus(name: $0.0, position: $0.1) })
    }

    private let plain = StatusScreen.Terminal()

    @Test func `members come first, and those that left last`() throws {
        var screen = StatusScreen()
        let lines = screen.lines(
            status([writer("a", at: 5, isMember: false), writer("b", at: 9), writer("c", at: 9)], newest: 9),
            now: .zero, time: "12:00:00", plain)
        #expect(lines[0].hasPrefix("events   at 9") && lines[0].hasSuffix("12:00:00") && lines[0].count == 80)
        #expect(lines[1] == "readers may read everything, up to 9")
        let names = lines.drop { !$0.hasPrefix("WRITER") }.dropFirst().map { $0.prefix(1) }
        #expect(names == ["b", "c", "a"])
    }

    @Test func `rates and lags are seen, and which of them grow`() {
        var screen = StatusScreen()
        _ = screen.lines(
            status([writer("a", at: 100)], newest: 100, consumers: [("mailer", 90), ("slow", 100)]), now: .zero,
            time: "12:00:00", plain)
        let lines = screen.lines(
            status([writer("a", at: 300)], newest: 300, consumers: [("mailer", 300), ("slow", 100)]), now: .seconds(2),
            time: "12:00:02", plain)
        #expect(lines[0].contains("at 300 +100/s"))
        #expect(lines.contains { $0.hasPrefix("a ") && $0.contains("300 +100/s") })
        #expect(lines.contains { $0.hasPrefix("mailer") && $0.contains("··········  0 −5/s") })
        #expect(lines.contains { $0.hasPrefix("slow") && $0.contains("████······  200 +100/s") }, "\(lines)")
    }

    @Test(arguments: [(0, 0), (1, 1), (4, 1), (5, 2), (999_999, 9), (1_000_000, 10), (Int64.max, 10)])
    func `a bar has a cell for every four times as much`(lag: Int64, cells: Int) {
        let bar = StatusScreen.bar(lag)
        #expect(bar.count == 10 && bar.filter { $0 == "█" }.count == cells)
    }

    @Test func `what was parked, and who has the partitions of a processor, is seen`() {
        func status(parked: Int) -> StreamStatus {
            StreamStatus(
                stream: "events", sequence: 9, newestEvent: 9, minimumPersisted: 9, writers: [],
                consumers: [
                    .init(
                        name: "mailer", position: 9, parked: parked,
                        partitions: [
                            .init(partition: 0, position: 9, owner: ProcessorProcess(7)),
                            .init(partition: 1, position: 9, owner: ProcessorProcess(8)),
                            .init(partition: 2, position: 9),
                        ])
                ])
        }
        var screen = StatusScreen()
        _ = screen.lines(status(parked: 0), now: .zero, time: "12:00:00", plain)
        let lines = screen.lines(status(parked: 2), now: .seconds(1), time: "12:00:01", plain)
        #expect(
            lines.contains { $0.hasPrefix("mailer") && $0.hasSuffix("  2       2, 1 of 3 partitions free") }, "\(lines)"
        )
        #expect(lines.contains("12:00:01  mailer has parked 2 events"))
    }

    @Test func `what has happened stays on the screen`() {
        var screen = StatusScreen()
        _ = screen.lines(
            status([writer("a", at: 9), writer("b", at: 9), writer("d", at: 9)], newest: 9), now: .zero,
            time: "12:00:00", plain)
        _ = screen.lines(
            status([writer("a", at: 9, isGone: true), writer("b", epoch: 3, at: 12), writer("c", at: 12)], newest: 12),
            now: .seconds(1), time: "12:00:01", plain)
        let lines = screen.lines(
            status([writer("b", epoch: 3, at: 12), writer("c", at: 12)], newest: 12), now: .seconds(2),
            time: "12:00:02", plain)
        let changes = lines.filter { $0.hasPrefix("12:00:0") }
        #expect(
            changes == [
                "12:00:02  nobody holds readers back any more", "12:00:02  a left", "12:00:01  a holds readers back",
                "12:00:01  d left", "12:00:01  c joined", "12:00:01  b joined again",
                "12:00:01  a is gone; it was active",
            ], "\(lines)")
    }

    @Test func `two hundred writers and fifty consumers fit on a small screen, and the rest is counted`() throws {
        var screen = StatusScreen()
        let writers = try (0..<200).map { writer(try .init(validating: "w\($0)"), at: 9) }
        let consumers = try (0..<50).map { (try ConsumerName(validating: "c\($0)"), StreamID(3)) }
        for (columns, rows) in [(80, 24), (40, 10), (200, 60), (10, 3), (1, 1)] {
            let lines = screen.lines(
                status(writers, newest: 9, consumers: consumers), now: .zero, time: "12:00:00",
                .init(columns: columns, rows: rows))
            #expect(lines.count <= max(rows - 1, 0) && lines.allSatisfy { $0.count <= columns }, "\(columns)×\(rows)")
            if rows >= 24 {
                #expect(
                    lines.contains { $0.contains("more writers") } && lines.contains { $0.contains("more consumers") })
            }
        }
    }

    @Test func `colours are for terminals that want them`() {
        var screen = StatusScreen()
        let stopped = status([writer("a", at: 5, age: 60_000)], newest: 9)
        let coloured = screen.lines(stopped, now: .zero, time: "", .init(hasColours: true)).joined()
        #expect(coloured.contains("\u{1B}[31m"))
        #expect(!screen.lines(stopped, now: .zero, time: "", plain).joined().contains("\u{1B}"))
    }
}
