/// What writers cost that have nothing to say, or never will again.
extension BenchmarkPage {
    static let crowds = [1, 7, 63, 1_023]

    var idleWriters: Markup {
        let measured = Self.crowds.filter { run.figures["announce.n\($0).messages_per_s"] != nil }
        let figure = { (size: Int, name: String) in run.figures["announce.n\(size).\(name)"] }
        let traffic = BarPlot(
            id: "traffic", title: "Messages a second, of all writers together",
            summary: "By how many writers are idle, beside one that writes 200 events a second.",
            groups: measured.map { size in
                let rate = figure(size, "messages_per_s") ?? .nan
                return (
                    name: "\(NumberText.short(Double(size))) idle",
                    bars: [BarPlot.Bar(name: "messages", value: rate, text: "\(NumberText.short(rate)) a second")]
                )
            }, limit: measured.isEmpty ? nil : (2_000, "limit \(NumberText.short(2_000))"))
        let lag = BarPlot(
            id: "crowd-lag", title: "Lag, by how many are idle",
            summary: "Median and 99th percentile of lag.",
            groups: measured.map { size in
                let bars = [("p50", 3), ("p99", 1)].map { name, style in
                    let value = figure(size, "\(name)_ms")
                    return BarPlot.Bar(
                        name: name, value: value ?? .nan,
                        text: "\(name) \(NumberText.duration(milliseconds: value))", style: style)
                }
                return (name: "\(NumberText.short(Double(size))) idle", bars: bars)
            }, limit: measured.isEmpty ? nil : (50, "limit 50 ms"))
        return Page.section(
            "idle", "What idle writers cost",
            """
            One writer is busy, n have nothing to say. How often a writer may announce its position follows from how \
            many there are, so that all of them together stay below a bound.
            """,
            [
                Page.pairs([
                    traffic.plot.markup, trafficTable(measured).markup, lag.plot.markup, crowdLagTable(measured).markup,
                ])
            ])
    }

    private func trafficTable(_ sizes: [Int]) -> DataTable {
        DataTable(
            caption: "Messages, and how often one writer may announce its position",
            columns: ["idle", "interval", "repeats", "a second", "each"],
            rows: sizes.map { size in
                let figure = { (name: String) in run.figures["announce.n\(size).\(name)"] }
                let rate = figure("messages_per_s")
                return DataTable.Row(
                    NumberText.short(Double(size)),
                    [
                        NumberText.duration(milliseconds: figure("interval_ms")),
                        NumberText.duration(milliseconds: figure("repetition_ms")), NumberText.short(rate),
                        NumberText.short(rate.map { $0 / Double(size + 1) }),
                    ])
            })
    }

    private func crowdLagTable(_ sizes: [Int]) -> DataTable {
        DataTable(
            caption: "Lag, by how many writers are idle", columns: ["idle", "p50", "p99", "max"],
            rows: sizes.map { size in
                DataTable.Row(
                    NumberText.short(Double(size)),
                    ["p50_ms", "p99_ms", "max_ms"].map { name in
                        NumberText.duration(milliseconds: run.figures["announce.n\(size).\(name)"])
                    })
            })
    }

    var deadWriters: Markup {
        let ends = [("killed", "Killed"), ("stopped", "Stopped")].map { name, words in
            (
                name: name, words: words, all: run.rows("dead.\(name).all_ms", columns: 1).map { $0[0] },
                limit: run.bars.first { $0.figure == "dead.\(name).max_ms" }?.limit
            )
        }
        let sentences = ends.compactMap { end in
            run.figures["dead.\(end.name).p50_ms"].map {
                "\(end.words): median \(NumberText.duration(milliseconds: $0)), at most "
                    + NumberText.duration(milliseconds: run.figures["dead.\(end.name).max_ms"])
            }
        }
        let plot = DotPlot(
            id: "dead-plot", title: "Time until the minimum passes a dead writer",
            summary: "Each dot is one writer. " + sentences.joined(separator: ". ") + ".",
            strips: ends.map { DotPlot.Strip(name: $0.words, values: $0.all, limit: $0.limit ?? 0) })
        let rows = ends.filter { run.figures["dead.\($0.name).count"] != nil }.map { end in
            let figure = { (name: String) in run.figures["dead.\(end.name).\(name)"] }
            return DataTable.Row(
                end.words,
                [
                    NumberText.short(figure("count")), NumberText.duration(milliseconds: figure("p50_ms")),
                    NumberText.duration(milliseconds: figure("max_ms")), NumberText.duration(milliseconds: end.limit),
                ])
        }
        return Page.section(
            "dead", "What a dead writer costs",
            """
            A writer holds an ID in flight when it is killed (SIGKILL) or stopped (SIGSTOP); nobody closes it by hand. \
            How long readers wait, from the signal to the arrival of the first event above that ID. One that is killed \
            the operating system gives away; one that is stopped has to be silent for the timeout.
            """,
            [
                Page.pairs([
                    plot.plot.markup,
                    DataTable(
                        caption: "Dead writers", columns: ["how", "times", "p50", "max", "limit"], rows: rows
                    ).markup,
                ])
            ])
    }

    /// Four writers at once as fast as they go, and what the reader saw.
    var correctness: Markup {
        let names = [
            ("events", "events written"), ("missing", "missing in the reader"), ("repeated", "repeated"),
            ("out_of_order", "out of order"), ("events_per_s", "events a second, end to end"),
        ]
        let rows = names.compactMap { name, words in
            run.figures["several.\(name)"].map { DataTable.Row(words, [NumberText.short($0)]) }
        }
        return Page.section(
            "several", "Several writers at once", "Four of eight writers write as fast as they go; a reader checks.",
            [DataTable(caption: "What the reader saw", columns: ["what", "count"], rows: rows).markup])
    }
}
