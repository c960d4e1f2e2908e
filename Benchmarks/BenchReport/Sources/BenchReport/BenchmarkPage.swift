/// The report of a run as a page.
public struct BenchmarkPage: Sendable {
    let run: BenchmarkRun

    public init(_ run: BenchmarkRun) { self.run = run }

    public var html: String {
        Page(
            title: "Tidemark: benchmark report",
            content: [header, machine]
                + (isOnFile ? [lagOverTime, lagDistribution, throughput, idleWriters, deadWriters, correctness] : [])
                + (isOnServer ? [serverLag, serverThroughput, hazards] : []) + [bars, everything]
        ).html
    }

    private var header: Markup {
        let met = run.bars.count(where: \.isMet)
        let verdict =
            run.bars.isEmpty ? "No bars were set." : "\(met) of \(run.bars.count) bars are met."
        let missed = run.bars.filter { !$0.isMet }.map(\.figure)
        return .element(
            "header", [:],
            [
                .element("h1", text: "Tidemark: benchmark report"),
                .element(
                    "p",
                    text: """
                        How far background readers lag behind writers, what persisting and reading cost beside plain \
                        C on the same work, and what idle and dead writers cost. Everything was measured in one run \
                        on one machine; percentiles come from histograms.
                        """),
                .element("p", ["class": "verdict"], text: verdict),
                missed.isEmpty
                    ? .group([])
                    : .element("p", text: "Missed: \(missed.joined(separator: ", "))."),
            ])
    }

    private var machine: Markup {
        let facts = run.facts.flatMap { fact in
            [Markup.element("dt", text: fact.name), .element("dd", text: fact.value)]
        }
        return Page.section(
            "run", "The run", "What the figures depend on.",
            facts.isEmpty
                ? [.element("p", ["class": "empty"], text: "Nothing was noted down.")]
                : [.element("dl", [:], facts)])
    }

    private var bars: Markup {
        let rows = run.bars.map { bar in
            DataTable.Row(
                bar.figure,
                [
                    NumberText.short(bar.value), "\(bar.relation.symbol)\u{00A0}\(NumberText.short(bar.limit))",
                    bar.isMet ? "met" : bar.value == nil ? "not measured" : "missed",
                ])
        }
        return Page.section(
            "bars", "What has to be reached", "Each figure beside its bar. Names ending in _ms are milliseconds.",
            [
                DataTable(caption: "Bars", columns: ["figure", "measured", "bar", "verdict"], rows: rows)
                    .markup(classOfLastCell: ["met": "good", "missed": "bad", "not measured": "bad"])
            ])
    }

    private var everything: Markup {
        let rows = run.figures.sorted { $0.key < $1.key }.map { DataTable.Row($0.key, [NumberText.short($0.value)]) }
        return Page.section(
            "all", "All figures", "As they are in the JSON of the same run.",
            [DataTable(caption: "Every figure of the run", columns: ["figure", "value"], rows: rows).markup])
    }
}

extension Bar.Relation {
    var symbol: String { self == .atMost ? "≤" : "≥" }
}
