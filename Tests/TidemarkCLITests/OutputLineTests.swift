import Foundation
import Testing
import Tidemark

@testable import TidemarkCLI

@Suite struct OutputLineTests {
    private func line(_ event: Event, instance: InstanceName = "p1") -> String {
        var line: [UInt8] = []
        OutputLine.append(
            PersistedEvent(
                event: event, streamID: 12, instance: instance, persistedAtMilliseconds: 1_795_233_906_123,
                mark: CommitMark(3)), to: &line)
        return String(decoding: line, as: UTF8.self)
    }

    @Test func `a payload that is JSON on one line goes in as it is`() {
        let payload = #"{ "id":"e","type":"t" , "x":1e3}"#
        #expect(
            line(Event(id: "e", type: "t", payload: Array(payload.utf8)))
                == #"{"stream_id":12,"instance":"p1","persisted_at":"2026-11-21T04:05:06.123Z","event":"# + payload
                + "}\n")
    }

    @Test(arguments: [[], [0xFF, 0x00], Array("{\n}".utf8), Array("{".utf8)] as [[UInt8]])
    func `any other payload is in base64`(payload: [UInt8]) throws {
        let text = line(Event(id: "e\"1", type: "t", key: "\u{1}k", payload: payload))
        #expect(text.hasSuffix("}\n") && text.dropLast().contains("\n") == false)
        let object = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
        #expect(object["event"] as? [String: String] == ["id": "e\"1", "type": "t", "key": "\u{1}k"])
        #expect(object["payload_base64"] as? String == Data(payload).base64EncodedString())
    }

    @Test func `an instance name with a quote is still JSON`() throws {
        let text = line(Event(id: "e", type: "t", payload: Array("{}".utf8)), instance: "p\"\\1")
        let object = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
        #expect(object["instance"] as? String == "p\"\\1")
    }

    @Test(
        arguments: [
            (0, "1970-01-01T00:00:00.000Z"), (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"), (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] as [(Int64, String)])
    func `times are dates of the Gregorian calendar in UTC`(milliseconds: Int64, text: String) {
        #expect(Timestamp.text(milliseconds) == text)
    }
}
