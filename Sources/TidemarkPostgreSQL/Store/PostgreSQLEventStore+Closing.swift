public import Tidemark

extension PostgreSQLEventStore {
    public func closeWriter(_ stream: StreamName, instance: InstanceName) async throws -> StreamID {
        try await exclude(
            CallSubject(stream, instance: instance), "SELECT \(namespace.function("close_1"))($1, $2, $3)",
            [.text(stream.rawValue), .text(instance.rawValue), lockLimitMilliseconds]
        ) { StreamID(try $0.int64(0, 0)) }
    }

    public func retire(_ stream: StreamName, instance: InstanceName) async throws {
        try await exclude(
            CallSubject(stream, instance: instance), "SELECT \(namespace.function("retire_1"))($1, $2, $3)",
            [.text(stream.rawValue), .text(instance.rawValue), lockLimitMilliseconds]
        ) { _ in }
    }

    public func closeWriter(_ stream: StreamName, observed: WriterObservation) async throws -> StreamID? {
        try await endLeftovers(stream, observed)
        return try await exclude(
            subject(stream, observed),
            "SELECT \(namespace.function("close_observed_1"))($1, $2, $3, $4, $5, $6, $7, $8)",
            parameters(stream, observed)
        ) { try $0.int64IfAny(0, 0).map { StreamID($0) } }
    }

    public func retire(_ stream: StreamName, observed: WriterObservation) async throws -> Bool {
        try await endLeftovers(stream, observed)
        return try await exclude(
            subject(stream, observed),
            "SELECT \(namespace.function("retire_observed_1"))($1, $2, $3, $4, $5, $6, $7, $8)",
            parameters(stream, observed)
        ) { try $0.bool(0, 0) }
    }

    /// Nobody waits the limit out once more for a transaction that is older than that already, where the process is gone: one of
    /// a host that was cut off stays open for as long as the server does not notice.
    private func endLeftovers(_ stream: StreamName, _ observed: WriterObservation) async throws {
        guard observed.isProcessGone, options.endsStuckTransactions else { return }
        try await endHolders(subject(stream, observed))
    }

    private func subject(_ stream: StreamName, _ observed: WriterObservation) -> CallSubject {
        var subject = CallSubject(stream, writer: observed.writer)
        subject.isForOthers = true
        return subject
    }

    private func parameters(_ stream: StreamName, _ observed: WriterObservation) -> [PostgresValue] {
        [
            .text(stream.rawValue), .text(observed.writer.instance.rawValue), .int64(Int64(observed.writer.epoch)),
            .int64(observed.position.rawValue), .int64(Int64(observed.heartbeat)), .bool(observed.isProcessGone),
            // By the clock of the server, as the observation was read.
            .int64(Int64(observed.readAt / .microseconds(1))), lockLimitMilliseconds,
        ]
    }

    public func checkWritable() async throws {
        do {
            try await write("SELECT \(namespace.function("check_writable_1"))()", [], .always) { _ in }
        } catch let error as PostgresError where error.sqlState == "42501" {
            throw TidemarkError.readOnly(store: description)
        } catch {
            throw errors.tidemarkError(error)
        }
    }
}
