import Foundation
import Testing

@testable import BenchReport

@Suite struct PageTests {
    static let empty = BenchmarkPage(BenchmarkRun(figures: [:], facts: [], series: [:], bars: [])).html

    static let full: String = {
        var figures: [String: Double] = ["several.events": 100, "several.missing": 0]
        var series: [String: [[Double]]] = [:]
        for mode in ["default", "periodic", "off", "none", "lost"] {
            for name in ["p50_ms", "p99_ms", "max_ms", "sent", "delivered"] { figures["lag.\(mode).\(name)"] = 2.5 }
            series["lag.\(mode).over_time"] = [[0.5, 1, 2], [1.5, 1, .nan], [2]]
            series["lag.\(mode).percentiles"] = [[0, 0.1], [50, 1], [99, 9]]
        }
        for size in [1, 7, 63, 1_023] {
            for name in ["messages_per_s", "p50_ms", "p99_ms", "interval_ms", "repetition_ms"] {
                figures["announce.n\(size).\(name)"] = Double(size)
            }
        }
        for end in ["killed", "stopped"] {
            for name in ["count", "p50_ms", "max_ms"] { figures["dead.\(end).\(name)"] = 300 }
            series["dead.\(end).all_ms"] = [[100], [300], []]
        }
        figures["persist.b1.events_per_s"] = 90
        figures["persist.b1.plain_events_per_s"] = 100
        figures["read.events_per_s"] = .nan
        figures["read.plain_events_per_s"] = 0
        return BenchmarkPage(
            BenchmarkRun(
                figures: figures, facts: [("file system", "ext4 <rw>"), ("seed", "4711")], series: series,
                bars: [
                    Bar("lag.default.p50_ms", 1, .atMost, 2), Bar("persist.b1.ratio", 0.7, .atLeast, 0.8),
                    Bar("read.raw.ratio", nil, .atLeast, 0.7),
                ])
        ).html
    }()

    @Test(arguments: [empty, full])
    func `the page needs nothing beside itself`(html: String) {
        for word in ["http:", "https:", "<script", "<link", "<img", "src=", "href=", "url(", "@import"] {
            #expect(!html.contains(word), "\(word)")
        }
    }

    @Test(arguments: [empty, full])
    func `a phone and a screen reader are told what they need`(html: String) {
        #expect(html.hasPrefix("<!doctype html>"))
        #expect(html.contains("<html lang=\"en\">"))
        #expect(html.contains("name=\"viewport\" content=\"width=device-width, initial-scale=1\""))
        #expect(html.components(separatedBy: "<h1>").count == 2)
        let sections = html.components(separatedBy: "<section aria-labelledby=\"").dropFirst()
        #expect(sections.count == 9)
        for section in sections { #expect(html.contains("<h2 id=\"\(section.prefix { $0 != "\"" })\">")) }
        let tables = html.components(separatedBy: "<table>").dropFirst()
        for table in tables {
            #expect(table.hasPrefix("<caption>"))
            let own = table.components(separatedBy: "</table>")[0]
            #expect(!own.contains("<th>") && own.contains("scope=\"col\"") && own.contains("scope=\"row\""))
        }
    }

    @Test func `identifiers are unique`() {
        let identifiers = Self.full.components(separatedBy: " id=\"").dropFirst().map {
            String($0.prefix { $0 != "\"" })
        }
        #expect(identifiers.count > 15)
        #expect(Set(identifiers).count == identifiers.count)
    }

    @Test func `what is no number does not get in`() {
        #expect(!Self.full.lowercased().contains(">nan") && !Self.full.contains("\"nan"))
        #expect(!Self.full.contains("inf<") && !Self.full.contains("Infinity"))
    }

    @Test func `a run without figures says so everywhere`() {
        let sentences = Self.empty.components(separatedBy: "class=\"empty\"").count - 1
        // The facts, six plots and the tables of each section.
        #expect(sentences >= 14)
        #expect(!Self.empty.contains("<svg") && !Self.empty.contains("<table"))
        #expect(Self.empty.contains("No bars were set."))
    }

    @Test func `it says which bars are met`() {
        #expect(Self.full.contains("1 of 3 bars are met."))
        #expect(Self.full.contains("<td class=\"good\">met</td>"))
        #expect(Self.full.contains("<td class=\"bad\">missed</td>"))
        #expect(Self.full.contains("<td class=\"bad\">not measured</td>"))
    }

    @Test func `facts are named and escaped`() {
        #expect(Self.full.contains("<dt>file system</dt><dd>ext4 &lt;rw&gt;</dd>"))
    }

    @Test func `throughput stands beside its limit`() {
        #expect(Self.full.contains("Tidemark 90\u{00A0}%"))
        // What cannot be compared is left out.
        #expect(!Self.full.contains("Reading, as events"))
    }
}

/// What a run on a PostgreSQL server shows.
@Suite struct ServerPageTests {
    static let html: String = {
        var figures: [String: Double] = [:]
        var series: [String: [[Double]]] = [:]
        for (number, mode) in ["notify", "redis", "plain"].enumerated() {
            for name in ["p50_ms", "p99_ms", "max_ms"] { figures["pg.lag.\(mode).\(name)"] = Double(number) + 0.5 }
            figures["pg.lag.\(mode).arrived"] = 1
            series["pg.lag.\(mode).percentiles"] = [[0, 0.1], [50, 1], [99, 9]]
        }
        for batch in [1, 10, 100] {
            figures["pg.rate.b\(batch).events_per_s"] = 1_000 * Double(batch)
            figures["pg.rate.b\(batch).plain_events_per_s"] = 2_000 * Double(batch)
            figures["pg.rate.b\(batch).ratio"] = 0.5
            figures["pg.rate.b\(batch).p99_ms"] = 7
        }
        for name in ["pg.read.events_per_s", "pg.read.raw_events_per_s"] { figures[name] = 70_000 }
        for name in ["pg.read.plain_events_per_s", "pg.read.raw_plain_events_per_s"] { figures[name] = 90_000 }
        figures["pg.read.ratio"] = 0.52
        figures["pg.read.raw.ratio"] = 0.72
        figures["pg.callers1000.speedup"] = 51
        return BenchmarkPage(
            BenchmarkRun(
                figures: figures, facts: [("PostgreSQL", "15.8")], series: series,
                bars: [Bar("pg.lag.notify.p50_ms", 0.5, .atMost, 3)])
        ).html
    }()

    @Test func `lag and rates have their tables and plots, and nothing is there that is of a file`() {
        let titles = Self.html.components(separatedBy: "<h2 id=").dropFirst().map {
            $0.components(separatedBy: ">")[1].components(separatedBy: "<")[0]
        }
        #expect(
            titles == [
                "The run", "Lag on PostgreSQL, with one busy and seven idle writers",
                "Throughput on PostgreSQL beside its limit", "What skips, loses or doubles events on PostgreSQL",
                "What has to be reached", "All figures",
            ])
        #expect(Self.html.components(separatedBy: "<svg").count == 3)
        #expect(!Self.html.contains("class=\"empty\""))
        for words in ["LISTEN and NOTIFY", "Redis", "plain C, NOTIFY and SELECT", "4 writers, groups of 100"] {
            #expect(Self.html.contains(">\(words)<"), "\(words)")
        }
        #expect(Self.html.contains("Tidemark 52\u{00A0}%") && Self.html.contains("Tidemark 72\u{00A0}%"))
    }

    @Test func `the hazards are those of the README`() throws {
        let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../../../README.md")
        let lines = try String(contentsOf: file, encoding: .utf8).split(separator: "\n")
        let begin = try #require(lines.firstIndex(of: "| what happens | the plain way | Tidemark |"))
        let rows = lines[(begin + 2)...].prefix { $0.hasPrefix("|") }.map { $0.replacing("`", with: "") }
        // One that is a figure of another run has no plain way beside it.
        #expect(
            rows.filter { !$0.contains("|  |") && !$0.contains("| |") }
                == BenchmarkPage.hazards.map { "| \($0.hazard) | \($0.plain) | \($0.ours) |" })
    }
}

@Suite struct BarTests {
    @Test func `a bar is met at its limit`() {
        #expect(Bar("x", 2, .atMost, 2).isMet)
        #expect(!Bar("x", 2.01, .atMost, 2).isMet)
        #expect(Bar("x", 2, .atLeast, 2).isMet)
        #expect(!Bar("x", 1.99, .atLeast, 2).isMet)
    }

    @Test func `what was not measured is not met`() {
        #expect(!Bar("x", nil, .atMost, 2).isMet)
        #expect(!Bar("x", .nan, .atLeast, 2).isMet)
        #expect(Bar("x", nil, .atMost, 2).sentence == "x was not measured; it has to be at most 2")
    }
}
