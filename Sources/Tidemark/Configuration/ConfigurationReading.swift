#if Configuration
public import Configuration
public import Logging

/// Reads the values of ``ConfigurationKey``s. What is missing leaves the default as it is.
package struct ConfigurationValues: Sendable {
    private let reader: ConfigReader
    /// How the reader says that a key is missing.
    private let absence: String?

    package init(_ reader: ConfigReader) {
        self.reader = reader
        // A reader's errors have no public type. That for a key that nobody has is compared with others.
        var absence: String?
        do { _ = try reader.requiredString(forKey: "noSuchKeyIsThere") } catch { absence = Self.name(of: error) }
        self.absence = absence
    }

    /// - Parameter body: reads a value, or throws what the reader does.
    private func value<Value>(
        _ key: ConfigurationKey, _ body: (ConfigKey) throws -> Value
    ) throws(InvalidConfiguration) -> Value? {
        do {
            return try body(ConfigKey(key.name))
        } catch {
            if Self.name(of: error) == absence { return nil }
            let isSecret = key.kind == .secret
            throw key.refused(
                isSecret ? nil : reader.string(forKey: ConfigKey(key.name)), key.problem)
        }
    }

    /// The kind of an error: the name of its type and of its case.
    private static func name(of error: any Error) -> String {
        let mirror = Mirror(reflecting: error)
        return "\(type(of: error)).\(mirror.children.first?.label ?? "\(error)")"
    }

    /// A text, or nil.
    package func text(_ name: String) throws(InvalidConfiguration) -> String? {
        let key = ConfigurationKey.named(name)
        return try value(key) { try reader.requiredString(forKey: $0, isSecret: key.kind == .secret) }
    }

    /// A text that has to be there.
    package func requiredText(_ name: String) throws(InvalidConfiguration) -> String {
        guard let text = try text(name) else { throw .missing(.named(name)) }
        return text
    }

    /// A text as something else; what `parse` throws becomes a sentence.
    package func parsed<Value, Failure: Error>(
        _ name: String, _ parse: (String) throws(Failure) -> Value
    ) throws(InvalidConfiguration) -> Value? {
        guard let text = try text(name) else { return nil }
        do { return try parse(text) } catch { throw ConfigurationKey.named(name).refused(text, "\(error)") }
    }

    func streamName() throws(InvalidConfiguration) -> StreamName {
        try parsed("stream", StreamName.init(validating:)) ?? "events"
    }

    package func read(_ name: String, into flag: inout Bool) throws(InvalidConfiguration) {
        let key = ConfigurationKey.named(name)
        if let value = try value(key, { try reader.requiredBool(forKey: $0) }) { flag = value }
    }

    package func read(_ name: String, into number: inout Int) throws(InvalidConfiguration) {
        let key = ConfigurationKey.named(name)
        if let value = try value(key, { try reader.requiredInt(forKey: $0) }) { number = try key.check(value) }
    }

    package func read(_ name: String, into duration: inout Duration) throws(InvalidConfiguration) {
        if let text = try text(name) { duration = try ConfigurationKey.named(name).duration(text) }
    }

    package func read(_ name: String, into duration: inout Duration?) throws(InvalidConfiguration) {
        if let text = try text(name) { duration = try ConfigurationKey.named(name).duration(text) }
    }
}

extension EventLogConfiguration {
    /// What a configuration says under `log.`: the article *Configuration* has the keys, their bounds and defaults.
    ///
    /// - Parameter reader: in the scope of Tidemark's keys: `config.scoped(to: "tidemark")`.
    /// - Throws: ``InvalidConfiguration``, for a value that does not fit, or does not fit another.
    public init(reading reader: ConfigReader) throws(InvalidConfiguration) {
        self.init()
        let values = ConfigurationValues(reader)
        try values.read("log.hasKeyIndex", into: &hasKeyIndex)
        try values.read("log.heartbeatInterval", into: &heartbeatInterval)
        try values.read("log.reconcileInterval", into: &reconcileInterval)
        try values.read("log.stallInterval", into: &stallInterval)
        try values.read("log.closesSilentWriters", into: &closesSilentWriters)
        try values.read("log.silenceTimeout", into: &silenceTimeout)
        try values.read("log.retirementTimeout", into: &retirementTimeout)
        try values.read("log.shutDownTimeLimit", into: &shutDownTimeLimit)
        try values.read("log.payloadBytes", into: &limits.payloadBytes)
        try values.read("log.waitingEvents", into: &waitingEvents)
        try values.read("log.waitingBytes", into: &waitingBytes)
        try values.read("log.groupEvents", into: &groupEvents)
        try values.read("log.groupBytes", into: &groupBytes)
        try values.read("log.batchEvents", into: &batchEvents)
        try values.read("log.batchBytes", into: &batchBytes)
        try values.read("log.filteredIDs", into: &filteredIDs)
        try values.read("log.announcedRows", into: &announcedRows)
        try values.read("log.speaksBesideOthers", into: &speaksBesideOthers)
        // A writer that lives would be closed otherwise.
        if let heartbeatInterval, silenceTimeout < heartbeatInterval * 4 {
            throw ConfigurationKey.named("log.silenceTimeout").refused(
                ConfigurationKey.text(silenceTimeout),
                "it has to be at least four times log.heartbeatInterval, which is \(ConfigurationKey.text(heartbeatInterval))"
            )
        }
        if retirementTimeout < silenceTimeout {
            throw ConfigurationKey.named("log.retirementTimeout").refused(
                ConfigurationKey.text(retirementTimeout),
                "it may not be shorter than log.silenceTimeout, which is \(ConfigurationKey.text(silenceTimeout))")
        }
    }
}

extension ProcessorConfiguration {
    /// What a configuration says under `processor.`: the article *Configuration* has the keys, their bounds and defaults.
    ///
    /// - Throws: ``InvalidConfiguration``, for a value that does not fit, or does not fit another.
    public init(reading reader: ConfigReader) throws(InvalidConfiguration) {
        self.init()
        let values = ConfigurationValues(reader)
        try values.read("processor.concurrency", into: &concurrency)
        try values.read("processor.partitions", into: &partitions)
        try values.read("processor.maximumAttempts", into: &maximumAttempts)
        try values.read("processor.shortestDelay", into: &shortestDelay)
        try values.read("processor.longestDelay", into: &longestDelay)
        try values.read("processor.timeLimit", into: &timeLimit)
        try values.read("processor.silenceTimeout", into: &silenceTimeout)
        try values.read("processor.checkpointInterval", into: &checkpointInterval)
        try values.read("processor.shutDownTimeLimit", into: &shutDownTimeLimit)
        if longestDelay < shortestDelay {
            throw ConfigurationKey.named("processor.longestDelay").refused(
                ConfigurationKey.text(longestDelay),
                "it may not be shorter than processor.shortestDelay, which is \(ConfigurationKey.text(shortestDelay))")
        }
    }
}

extension EventLog {
    /// Opens a log as a configuration says: the keys `stream`, `instance`, and those of
    /// ``EventLogConfiguration/init(reading:)``. Without an `instance` it only reads.
    ///
    /// - Parameters:
    ///   - reader: in the scope of Tidemark's keys: `config.scoped(to: "tidemark")`.
    ///   - instance: the name of a program that chooses it itself.
    ///   - transport: as for ``open(_:stream:instance:transport:configuration:time:logger:)``. `TidemarkReplication` and
    ///     `TidemarkRedis` make one of the key `replication`.
    /// - Throws: ``InvalidConfiguration``, or what ``open(_:stream:instance:transport:configuration:time:logger:)`` throws.
    public static func open(
        _ store: any EventStore, reading reader: ConfigReader, instance: InstanceName? = nil,
        transport: (any ReplicationTransport)?, logger: Logger = Logger(label: "tidemark")
    ) async throws -> EventLog {
        let values = ConfigurationValues(reader)
        return try await open(
            store, stream: try values.streamName(),
            instance: try instance ?? values.parsed("instance", InstanceName.init(validating:)), transport: transport,
            configuration: EventLogConfiguration(reading: reader), logger: logger)
    }

    /// The same with the transport that the store itself has, as PostgreSQL has one: the key `replication` is `auto`, `none` or
    /// not there.
    ///
    /// - Throws: ``InvalidConfiguration``, or what ``open(_:stream:instance:configuration:time:logger:)`` throws.
    public static func open(
        _ store: any EventStore, reading reader: ConfigReader, instance: InstanceName? = nil,
        logger: Logger = Logger(label: "tidemark")
    ) async throws -> EventLog {
        let values = ConfigurationValues(reader)
        let transport: (any ReplicationTransport)?
        switch try values.text("replication") ?? "auto" {
        case "auto": transport = store.ownTransport(for: try values.streamName())
        case "none": transport = nil
        default:
            throw ConfigurationKey.named("replication").refused(nil, "this program takes auto or none")
        }
        return try await open(store, reading: reader, instance: instance, transport: transport, logger: logger)
    }
}
#endif
