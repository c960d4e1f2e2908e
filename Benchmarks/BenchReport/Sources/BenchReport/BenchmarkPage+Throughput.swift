/// How fast, beside what plain C does with the same work.
extension BenchmarkPage {
    private struct Work {
        let name: String
        let ours: String
        let limit: String
    }

    private static let works = [
        Work(name: "Persisting, 1 event a transaction", ours: "persist.b1", limit: "persist.b1.plain"),
        Work(name: "Persisting, 100 a transaction", ours: "persist.b100", limit: "persist.b100.plain"),
        Work(name: "Reading, as events", ours: "read.events", limit: "read.plain"),
        Work(name: "Reading, as raw batches", ours: "read.raw", limit: "read.plain"),
    ]

    private struct Rate {
        let name: String
        let ours: Double
        let limit: Double
        /// The middle of several pairs that were measured one after the other; not of the two rates.
        let ratio: Double
    }

    /// Reading has a name of its own for its first way.
    private func figure(_ prefix: String) -> Double? {
        run.figures["\(prefix).events_per_s"] ?? run.figures["\(prefix)_events_per_s"]
            ?? (prefix == "read.events" ? run.figures["read.events_per_s"] : nil)
    }

    private var rates: [Rate] {
        Self.works.compactMap { work in
            guard let ours = figure(work.ours), let limit = figure(work.limit), limit > 0 else { return nil }
            return Rate(
                name: work.name, ours: ours, limit: limit,
                ratio: run.figures["\(work.ours).ratio"] ?? ours / limit)
        }
    }

    var throughput: Markup {
        let groups = rates.map { rate in
            (
                name: rate.name,
                bars: [
                    BarPlot.Bar(
                        name: "Tidemark", value: rate.ratio,
                        text: "Tidemark \(NumberText.percent(rate.ratio))"),
                    BarPlot.Bar(name: "plain C", value: 1, text: "plain C", style: 5),
                ]
            )
        }
        let plot = BarPlot(
            id: "throughput", title: "Tidemark beside plain C",
            summary:
                "Each pair of bars is Tidemark's rate beside that of a plain loop in C, which counts as 100\u{00A0}%.",
            groups: groups)
        return Page.section(
            "throughput-section", "Throughput beside its limit",
            """
            A plain loop over SQLite's C interface runs the same statements on the same disk in the same run, with the \
            same synchronous mode: what the machine can do at most.
            """,
            [Page.pairs([plot.plot.markup, rateTable.markup]), togetherTable.markup])
    }

    private var rateTable: DataTable {
        DataTable(
            caption: "Events a second", columns: ["work", "Tidemark", "plain C", "ratio"],
            rows: rates.map { rate in
                DataTable.Row(
                    rate.name,
                    [NumberText.short(rate.ours), NumberText.short(rate.limit), NumberText.percent(rate.ratio)])
            })
    }

    /// Several writers of one file.
    private var togetherTable: DataTable {
        let names = [
            ("processes4.commits_per_s", "commits a second, 4 processes"),
            ("processes4.alone_commits_per_s", "commits a second, one process alone"),
            ("processes4.total_ratio", "all together, of one alone"),
            ("processes4.min_share", "least share of one of the 4"),
            ("processes4.max_ms", "longest wait for a commit, ms"),
            ("processes4.busy_handler.min_share", "least share with SQLite's busy handler"),
            ("processes4.busy_handler.max_ms", "longest wait with SQLite's busy handler, ms"),
            ("persist.callers1000.events_per_s", "events a second, 1,000 callers of one process"),
            ("persist.callers1000.p99_ms", "p99 of their waits, ms"),
        ]
        return DataTable(
            caption: "Writing together", columns: ["what", "measured"],
            rows: names.compactMap { name, words in
                run.figures[name].map { DataTable.Row(words, [NumberText.short($0)]) }
            })
    }
}
