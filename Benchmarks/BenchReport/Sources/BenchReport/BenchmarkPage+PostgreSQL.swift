/// A run on a PostgreSQL server, whose figures begin with `pg.`.
extension BenchmarkPage {
    /// Whether the run was on a server, and whether it was on a file: a run without any figure is shown as one on a file.
    var isOnServer: Bool { run.figures.keys.contains { $0.hasPrefix("pg.") } }
    var isOnFile: Bool { !isOnServer || run.figures.keys.contains { !$0.hasPrefix("pg.") } }

    private static let serverModes = [
        Mode(name: "notify", words: "LISTEN and NOTIFY"), Mode(name: "redis", words: "Redis"),
        Mode(name: "plain", words: "plain C, NOTIFY and SELECT"),
    ]

    var serverLag: Markup {
        let curves = Self.serverModes.map { mode in
            CurvePlot.Curve(
                name: mode.words,
                points: run.rows("pg.lag.\(mode.name).percentiles", columns: 2).map {
                    (percentile: $0[0], value: $0[1])
                })
        }
        let plot = CurvePlot(
            id: "server-distribution", title: "Percentiles of lag on PostgreSQL",
            summary: """
                How much of all events had at most which lag; lag is on a logarithmic axis, and each mark to the right \
                is ten times rarer.
                """, curves: curves)
        let rows = Self.serverModes.filter { run.figures["pg.lag.\($0.name).p50_ms"] != nil }.map { mode in
            let figure = { (name: String) in run.figures["pg.lag.\(mode.name).\(name)"] }
            return DataTable.Row(
                mode.words,
                ["p50_ms", "p99_ms", "max_ms"].map { NumberText.duration(milliseconds: figure($0)) }
                    + [NumberText.percent(figure("arrived"))])
        }
        return Page.section(
            "server-lag", "Lag on PostgreSQL, with one busy and seven idle writers",
            """
            One of eight writers gets 200 events a second, and a reader in another process follows. Lag is the time from \
            the return of an event's commit to its arrival in the reader. The plain way, an INSERT with NOTIFY and a SELECT from C, \
            has one writer and checks nothing: what the server can do at most.
            """,
            [
                Page.pairs([
                    plot.plot.markup,
                    DataTable(
                        caption: "Lag on PostgreSQL, by what instances tell each other over",
                        columns: ["over", "p50", "p99", "max", "arrived"], rows: rows
                    ).markup,
                ])
            ])
    }

    private struct ServerRate {
        let words: String
        let ours: Double
        let plain: Double
        let ratio: Double
    }

    private var serverRates: [ServerRate] {
        let works = [
            ("4 writers, groups of 1", "pg.rate.b1"), ("4 writers, groups of 10", "pg.rate.b10"),
            ("4 writers, groups of 100", "pg.rate.b100"), ("reading, as values", "pg.read"),
            ("reading, as raw batches", "pg.read.raw"),
        ]
        return works.compactMap { words, prefix in
            // Reading raw has another way to write its names.
            func figure(_ name: String) -> Double? {
                run.figures["\(prefix).\(name)"] ?? run.figures["\(prefix)_\(name)"]
            }
            guard let ours = figure("events_per_s"), let plain = figure("plain_events_per_s"),
                let ratio = figure("ratio")
            else { return nil }
            return ServerRate(words: words, ours: ours, plain: plain, ratio: ratio)
        }
    }

    var serverThroughput: Markup {
        let plot = BarPlot(
            id: "server-throughput", title: "Tidemark on PostgreSQL beside plain C",
            summary:
                "Each pair of bars is Tidemark's rate beside that of a plain loop in C, which counts as 100\u{00A0}%.",
            groups: serverRates.map { rate in
                (
                    name: rate.words,
                    bars: [
                        BarPlot.Bar(
                            name: "Tidemark", value: rate.ratio, text: "Tidemark \(NumberText.percent(rate.ratio))"),
                        BarPlot.Bar(name: "plain C", value: 1, text: "plain C", style: 5),
                    ]
                )
            })
        let together = [
            ("pg.callers1000.events_per_s", "events a second, 1,000 callers of one process"),
            ("pg.callers1000.one_caller_per_s", "events a second, one caller"),
            ("pg.callers1000.speedup", "all together, of one alone"),
            ("pg.callers1000.p99_ms", "p99 of their waits, ms"),
            ("pg.rate.b1.p99_ms", "p99 of a commit, groups of 1, ms"),
            ("pg.rate.b100.p99_ms", "p99 of a commit, groups of 100, ms"),
        ]
        return Page.section(
            "server-throughput-section", "Throughput on PostgreSQL beside its limit",
            """
            Pipelined prepared inserts of the same rows, and a SELECT loop, from C over libpq on the same server in the same \
            run: they check nothing, and number nothing that readers could rely on.
            """,
            [
                Page.pairs([
                    plot.plot.markup,
                    DataTable(
                        caption: "Events a second on PostgreSQL", columns: ["work", "Tidemark", "plain C", "ratio"],
                        rows: serverRates.map { rate in
                            DataTable.Row(
                                rate.words,
                                [
                                    NumberText.short(rate.ours), NumberText.short(rate.plain),
                                    NumberText.percent(rate.ratio),
                                ])
                        }
                    ).markup,
                ]),
                DataTable(
                    caption: "Writing together on PostgreSQL", columns: ["what", "measured"],
                    rows: together.compactMap { name, words in
                        run.figures[name].map { DataTable.Row(words, [NumberText.short($0)]) }
                    }
                ).markup,
            ])
    }

    /// As in the README, which a test compares: nothing of it was measured in this run.
    static let hazards: [(hazard: String, plain: String, ours: String)] = [
        (
            "two transactions commit in the other order", "a reader by the highest ID skips the first",
            "the minimum stays below it until it is there"
        ),
        (
            "a transaction is rolled back and leaves a gap", "stands there, or guesses",
            "the ID has a tombstone, and a late commit under it is refused"
        ),
        (
            "the server reads a query when its client has settled that it was lost",
            "the event is there after all, below where readers are, or twice", "the fence refuses it"
        ),
        (
            "a connection is cut before, in or after COMMIT",
            "the client hears the same each time; a second try may double the row",
            "one acknowledgement, one event; an ID of a scope holds its event or a tombstone"
        ),
        (
            "kill -9 of one backend: IDs come again", "by its start time the server is the same",
            "another incarnation; IDs of the one before are void"
        ),
        (
            "a transaction of another database is open, or prepared",
            "a watermark of transaction ids stands still: 60 s behind after a minute",
            "readers do not wait for it: beside one that was open for a minute they lagged by 1 ms (p50), 3 ms (p99), "
                + "11 ms at most, as before it"
        ),
        (
            "REPEATABLE READ as the default of a role", "its check sees what was there before its lock",
            "the function refuses; the library names the level itself"
        ),
        (
            "a standby that lost 40 commits is promoted", "new rows lie below where readers are, and are never read",
            "readers and writers end with acknowledgedEventsLost"
        ),
        (
            "two clusters are restored from one backup", "IDs and epochs are the same",
            "other incarnations, nonces and marks: what is known of one is refused by the other"
        ),
        (
            "a host is cut off with an open scope and an open transaction",
            "readers stand still until somebody ends it",
            "it is passed, and its commits are refused"
        ),
    ]

    var hazards: Markup {
        Page.section(
            "hazards", "What skips, loses or doubles events on PostgreSQL",
            "Each of it is a test of the project on a real server, with the plain way beside it. Nothing here was measured in this run.",
            [
                DataTable(
                    caption: "Hazards", columns: ["what happens", "the plain way", "Tidemark"],
                    rows: Self.hazards.map { DataTable.Row($0.hazard, [$0.plain, $0.ours]) }
                ).markup
            ])
    }
}
