/// How far readers are behind.
extension BenchmarkPage {
    struct Mode {
        let name: String
        let words: String
    }

    static let modes = [
        Mode(name: "default", words: "default"), Mode(name: "periodic", words: "once a second"),
        Mode(name: "off", words: "no announcements"), Mode(name: "none", words: "database alone"),
    ]

    var lagOverTime: Markup {
        let panels = Self.modes.prefix(3).map { mode in
            PanelPlot.Panel(
                name: mode.words,
                points: run.rows("lag.\(mode.name).over_time", columns: 3).map {
                    (x: $0[0], median: $0[1], highest: $0[2])
                },
                emptyText: run.figures["lag.\(mode.name).sent"] == nil ? "not measured" : "nothing arrived")
        }
        let plot = PanelPlot(
            id: "over-time", title: "Lag over time, by mode",
            summary: """
                The line is the median of each moment, the thin strokes reach up to the greatest. Both axes are the \
                same in each panel; lag is on a logarithmic one. \(lagSentence)
                """,
            panels: Array(panels))
        return Page.section(
            "lag", "Lag with one busy and seven idle writers",
            """
            One of eight writers gets 200 events a second, every tenth ID is given up, and a reader in another process \
            follows. Lag is the time from the return of an event's commit in its writer to its arrival in the reader.
            """, [Page.pairs([plot.plot.markup, lagTable.markup])])
    }

    private var lagSentence: String {
        let parts = Self.modes.compactMap { mode in
            run.figures["lag.\(mode.name).p50_ms"].map {
                "\(mode.words): median \(NumberText.duration(milliseconds: $0))"
            }
        }
        return parts.isEmpty ? "" : "In all: " + parts.joined(separator: ", ") + "."
    }

    private var lagTable: DataTable {
        let modes = Self.modes + [Mode(name: "lost", words: "after a writer was lost")]
        let rows = modes.filter { run.figures["lag.\($0.name).sent"] != nil }.map { mode in
            let figure = { (name: String) in run.figures["lag.\(mode.name).\(name)"] }
            return DataTable.Row(
                mode.words,
                ["p50_ms", "p99_ms", "max_ms"].map { NumberText.duration(milliseconds: figure($0)) }
                    + [NumberText.percent(figure("arrived"))])
        }
        return DataTable(
            caption: "Lag, by what instances tell each other", columns: ["mode", "p50", "p99", "max", "arrived"],
            rows: rows)
    }

    var lagDistribution: Markup {
        let curves = Self.modes.map { mode in
            CurvePlot.Curve(
                name: mode.words,
                points: run.rows("lag.\(mode.name).percentiles", columns: 2).map {
                    (percentile: $0[0], value: $0[1])
                })
        }
        let plot = CurvePlot(
            id: "distribution", title: "Percentiles of lag, by mode",
            summary: """
                How much of all events had at most which lag; lag is on a logarithmic axis, and each mark to the right \
                is ten times rarer.
                """, curves: curves)
        let shown = [50.0, 90, 99, 99.9]
        let rows = Self.modes.compactMap { mode -> DataTable.Row? in
            let points = run.rows("lag.\(mode.name).percentiles", columns: 2)
            guard !points.isEmpty else { return nil }
            return DataTable.Row(
                mode.words,
                shown.map { percentile in
                    NumberText.duration(milliseconds: points.first { $0[0] == percentile }?[1])
                })
        }
        return Page.section(
            "distribution-of-lag", "Distribution of lag", "The same events, by how often they were how late.",
            [
                Page.pairs([
                    plot.plot.markup,
                    DataTable(
                        caption: "Percentiles of lag", columns: ["mode"] + shown.map { "\(NumberText.short($0)) %" },
                        rows: rows
                    ).markup,
                ])
            ])
    }
}
