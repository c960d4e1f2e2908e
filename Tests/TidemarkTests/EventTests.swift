import InMemoryTracing
import Logging
import Testing
import TidemarkTesting
import Tracing

@testable import Tidemark

@Suite struct EventTests {
    private struct Order: Codable, Equatable {
        var number: Int
        var items: [String]
    }

    private func persisted(_ event: Event) -> PersistedEvent {
        PersistedEvent(event: event, streamID: 7, instance: "p1", persistedAtMilliseconds: 0, mark: CommitMark(1))
    }

    // MARK: Metadata

    @Test(arguments: [
        Dictionary(uniqueKeysWithValues: (0..<64).map { ("\($0)", "x") }), ["a": String(repeating: "x", count: 16_383)],
        ["a": ""],
    ])
    func `metadata within its bounds is taken`(_ metadata: [String: String]) throws {
        try EventLimits().check(Event(id: "e", type: "t", metadata: metadata), in: "events")
    }

    @Test(arguments: [
        (
            Dictionary(uniqueKeysWithValues: (0..<65).map { ("\($0)", "x") }),
            "its metadata has 65 entries, the limit is 64"
        ),
        (["a": String(repeating: "x", count: 16_384)], "its metadata has 16385 bytes, the limit is 16384"),
        // Bytes, not letters.
        (["a": String(repeating: "é", count: 8_192)], "its metadata has 16385 bytes, the limit is 16384"),
        (["": "x"], "a name in its metadata is empty"),
    ])
    func `metadata beyond its bounds is refused before anything is written`(
        _ metadata: [String: String], _ problem: String
    ) async throws {
        let store = InMemoryEventStore()
        let log = try await EventLog.open(store, instance: "p1", logger: .silent)
        let event = Event(id: "e", type: "t", metadata: metadata)
        let refused = TidemarkError.invalidEvent(stream: "events", id: "e", problem: problem)
        await #expect(throws: refused) { try await log.persist([Event(id: "f", type: "t"), event]) }
        await #expect(throws: refused) { try await log.withNextID { try await log.persist(event, as: $0) } }
        #expect(try await log.event(withID: "f") == nil)
        await log.shutDown()
    }

    @Test func `metadata counts among the bytes that a group has`() {
        #expect([Event(id: "e", type: "t", metadata: ["ab": "cde"], payload: [1])].payloadBytes == 6)
    }

    // MARK: JSON

    @Test func `a value goes into the payload as JSON, and comes back`() throws {
        let order = Order(number: 7, items: ["tea", "a/b"])
        let event = try Event(id: "e", type: "order.placed", key: "k", metadata: ["version": "1"], json: order)
        #expect(String(decoding: event.payload, as: UTF8.self) == #"{"items":["tea","a/b"],"number":7}"#)
        #expect(event.metadata == ["version": "1"] && event.key == "k")
        #expect(try persisted(event).decoded(as: Order.self) == order)
    }

    @Test(arguments: [
        (#"{"items":[]}"#, "\"number\" is missing"),
        (#"{"number":"x","items":[]}"#, "something else than Int at number"),
        (#"{"number":1,"items":["a",2]}"#, "something else than String at items.1"),
        (#"{"number":null,"items":[]}"#, "no Int at number"),
    ])
    func `a payload that is something else is an error with the event's id, and nothing of the payload`(
        _ text: String, _ problem: String
    ) {
        let event = persisted(Event(id: "e1", type: "order.placed", payload: Array(text.utf8)))
        let error = UndecodableEvent(
            streamID: 7, eventID: "e1", type: "order.placed", valueType: "Order", problem: problem)
        #expect(throws: error) { try event.decoded(as: Order.self) }
        #expect("\(error)".contains("\"e1\" (ID 7"))
    }

    @Test(arguments: ["", "{", "secret"]) func `a payload that is no JSON is such an error too`(_ text: String) {
        let event = persisted(Event(id: "e1", type: "t", payload: Array(text.utf8)))
        let error = #expect(throws: UndecodableEvent.self) { try event.decoded(as: Order.self) }
        #expect(error?.eventID == "e1" && error?.streamID == 7)
        #expect(error?.problem.contains("secret") == false)
    }

    // MARK: Tracing

    @Test func `the current trace goes into an event's metadata, and its handler's span is linked to it`() throws {
        let tracer = InMemoryTracer()
        let (event, traceID) = tracer.withSpan("place order") { span in
            (
                [Event(id: "e", type: "t", metadata: ["cause": "c"])].traced(by: tracer, limits: EventLimits())[0],
                span.context.inMemorySpanContext?.traceID
            )
        }
        #expect(event.metadata["cause"] == "c" && event.metadata.count > 1)
        let found = event.serviceContext(tracer)
        #expect(traceID != nil && found.inMemorySpanContext?.traceID == traceID)
    }

    @Test func `an event keeps what it has under a name of the trace, and takes none that makes it too large`() {
        let tracer = InMemoryTracer()
        tracer.withSpan("place order") { _ in
            let names = [Event(id: "e", type: "t")].traced(by: tracer, limits: EventLimits())[0].metadata.keys
            let own = Dictionary(uniqueKeysWithValues: names.map { ($0, "own") })
            #expect(
                [Event(id: "e", type: "t", metadata: own)].traced(by: tracer, limits: EventLimits())[0].metadata == own)
            let full = Dictionary(uniqueKeysWithValues: (0..<64).map { ("\($0)", "x") })
            #expect(
                [Event(id: "e", type: "t", metadata: full)].traced(by: tracer, limits: EventLimits())[0].metadata
                    == full)
        }
    }

    @Test func `without a trace, or a tracer, metadata stays as it is`() {
        let events = [Event(id: "e", type: "t")]
        #expect(events.traced(nil, limits: EventLimits()) == events)
        #expect(events.traced(.topLevel, by: NoOpTracer(), limits: EventLimits()) == events)
    }
}

extension Logger {
    fileprivate static var silent: Logger { Logger(label: "test") { _ in SwiftLogNoOpLogHandler() } }
}
