import Testing

@testable import BenchReport

@Suite struct MarkupTests {
    @Test func `text is escaped`() {
        let markup = Markup.element("p", text: "a < b & \"c\" > <script>")
        #expect(markup.html == "<p>a &lt; b &amp; &quot;c&quot; &gt; &lt;script&gt;</p>\n")
    }

    @Test func `attributes are escaped and keep their order`() {
        let markup = Markup.element("a", ["title": "\"><b>", "id": "x"])
        #expect(markup.html == "<a title=\"&quot;&gt;&lt;b&gt;\" id=\"x\"></a>")
    }

    @Test func `void elements have no end`() {
        #expect(Markup.element("meta", ["charset": "utf-8"]).html == "<meta charset=\"utf-8\">")
    }

    @Test func `the style sheet does not end its element`() {
        #expect(!StyleSheet.text.contains("<"))
        #expect(!StyleSheet.text.contains("url("))
        #expect(!StyleSheet.text.contains("@import"))
    }
}

@Suite struct NumberTextTests {
    @Test(arguments: [
        (0.0, "0"), (0.001234, "0.0012"), (0.25, "0.25"), (5, "5"), (12.345, "12.3"), (1_234.5, "1\u{202F}235"),
        (-1_234_567, "-1\u{202F}234\u{202F}567"), (-0.001, "-0.001"), (99.99, "100"), (0.00001, "0"),
    ])
    func `numbers are short`(value: Double, text: String) {
        #expect(NumberText.short(value) == text)
    }

    @Test(arguments: [Double.nan, .infinity, -.infinity])
    func `what is no number is a dash`(value: Double) {
        #expect(NumberText.short(value) == NumberText.none)
        #expect(NumberText.duration(milliseconds: value) == NumberText.none)
        #expect(NumberText.percent(value) == NumberText.none)
        #expect(NumberText.short(nil) == NumberText.none)
    }

    @Test func `durations have the unit that suits them`() {
        #expect(NumberText.duration(milliseconds: 1.5) == "1.5\u{00A0}ms")
        #expect(NumberText.duration(milliseconds: 7_000) == "7\u{00A0}s")
    }
}
