import CoreMetrics
import PrometheusText
import Testing

@Suite struct PrometheusTextTests {
    @Test func `each kind of metric is shown in its form`() {
        let metrics = PrometheusText()
        let counter = metrics.makeCounter(
            label: "events_persisted", dimensions: [("stream", "a\"b\\c\nd"), ("instance", "p1")])
        counter.increment(by: 2)
        metrics.makeCounter(label: "events_persisted", dimensions: [("instance", "p1"), ("stream", "a\"b\\c\nd")])
            .increment(by: 1)
        let gauge = metrics.makeRecorder(label: "minimum.position", dimensions: [], aggregate: false)
        gauge.record(Int64(7))
        gauge.record(Int64(5))
        let timer = metrics.makeTimer(label: "handler", dimensions: [])
        timer.recordNanoseconds(1_500_000_000)
        timer.recordNanoseconds(500_000_000)
        metrics.makeMeter(label: "load", dimensions: []).set(0.5)
        #expect(
            metrics.text == """
                # TYPE events_persisted counter
                events_persisted{instance="p1",stream="a\\"b\\\\c\\nd"} 3
                # TYPE handler_seconds summary
                handler_seconds_sum 2
                handler_seconds_count 2
                # TYPE load gauge
                load 0.5
                # TYPE minimum_position gauge
                minimum_position 5
                # TYPE prometheus_text_series_refused counter
                prometheus_text_series_refused 0

                """)
    }

    @Test func `series are bounded, and one name has one type`() {
        let metrics = PrometheusText(limit: 2)
        for number in 0..<5 { metrics.makeCounter(label: "a", dimensions: [("n", "\(number)")]).increment(by: 1) }
        metrics.makeMeter(label: "a", dimensions: []).set(1.0)
        #expect(metrics.text.contains("a{n=\"1\"} 1") && !metrics.text.contains("a{n=\"2\"}"))
        #expect(metrics.text.contains("prometheus_text_series_refused 4"))
    }
}
