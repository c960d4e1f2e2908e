import Instrumentation
import Tracing

extension [Event] {
    /// The events with the current trace in their metadata, under the names that the program's tracer gives it
    /// (`traceparent` and `tracestate`, where it speaks as the W3C says). What has these names already stays, and an event
    /// whose metadata would get too large goes without: a trace is no reason to refuse it.
    func traced(
        _ context: ServiceContext? = .current, by instrument: any Instrument = InstrumentationSystem.instrument,
        limits: EventLimits
    ) -> [Event] {
        guard let context else { return self }
        var trace: [String: String] = [:]
        instrument.inject(context, into: &trace, using: MetadataTrace())
        if trace.isEmpty { return self }
        return map { event in
            var traced = event
            traced.metadata.merge(trace) { own, _ in own }
            return traced.metadata.count <= limits.metadataEntries && traced.metadataBytes <= limits.metadataBytes
                ? traced : event
        }
    }
}

extension Event {
    /// The trace in its metadata, for its handler: `withSpan(…)` takes it as what a span is linked to. It is empty
    /// where the event has none, or no tracer is there to read it.
    public var serviceContext: ServiceContext { serviceContext(InstrumentationSystem.instrument) }

    func serviceContext(_ instrument: any Instrument) -> ServiceContext {
        var context = ServiceContext.topLevel
        if !metadata.isEmpty { instrument.extract(metadata, into: &context, using: MetadataTrace()) }
        return context
    }
}

/// A trace in the metadata of an event.
private struct MetadataTrace: Injector, Extractor {
    func inject(_ value: String, forKey key: String, into carrier: inout [String: String]) { carrier[key] = value }
    func extract(key: String, from carrier: [String: String]) -> String? { carrier[key] }
}
