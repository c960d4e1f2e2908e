public import Tidemark

extension PostgreSQLEventStore: KeyIndexStore {
    public func makeKeyIndex(of stream: StreamName) async throws -> KeyIndexState {
        let found: (state: KeyIndexState, hasRows: Bool)
        do {
            found = try await write(
                "SELECT keyed_from, has_rows FROM \(namespace.function("make_keys_1"))($1)", [.text(stream.rawValue)],
                .always
            ) { rows in (KeyIndexState(keyedFrom: try rows.int64IfAny(0, 0)), try rows.bool(0, 1)) }
        } catch {
            throw await writingError(error, CallSubject(stream))
        }
        guard found.state == .missing, !found.hasRows else { return found.state }
        // Somebody has joined, who may be about to write: as for any other stream, with little to do.
        try await completeKeyIndex(of: stream)
        return .complete
    }

    public func buildKeyIndex(of stream: StreamName, limit: Int) async throws -> KeyIndexState {
        precondition(limit >= 1, "a step takes at least one row in")
        let begun = try await step(stream, "SELECT \(namespace.function("begin_keys_1"))($1)") {
            KeyIndexState(keyedFrom: try $0.int64IfAny(0, 0))
        }
        if begun == .complete { return begun }
        if begun == .building(from: StreamID(.max)) {
            for instance in try await members(of: stream) {
                try await step(
                    stream, "SELECT \(namespace.function("await_groups_1"))($1, $2, $3)",
                    [.text(instance.rawValue), lockLimitMilliseconds]
                ) { _ in }
            }
        }
        return try await step(
            stream, "SELECT \(namespace.function("extend_keys_1"))($1, $2, $3)",
            [.int64(Int64(limit)), lockLimitMilliseconds]
        ) { KeyIndexState(keyedFrom: try $0.int64IfAny(0, 0)) }
    }

    /// What stands in the way is not ended: it can be tried again.
    private func step<Value: Sendable>(
        _ stream: StreamName, _ sql: String, _ parameters: [PostgresValue] = [],
        _ read: @escaping @Sendable (PostgresRows) throws -> Value
    ) async throws -> Value {
        do {
            return try await write(sql, [.text(stream.rawValue)] + parameters, .always, read)
        } catch {
            throw await writingError(error, CallSubject(stream))
        }
    }

    private func members(of stream: StreamName) async throws -> [InstanceName] {
        let name = namespace.quoted
        let sql = """
            SELECT i.instance FROM \(name).instances i JOIN \(name).streams s ON s.stream = i.stream
            WHERE s.name = $1 AND i.is_member ORDER BY i.writer
            """
        return try await inSnapshot(CallSubject(stream)) { session in
            let rows = try session.query(sql, [.text(stream.rawValue)])
            return try (0..<rows.count).map { try InstanceName(validating: try rows.text($0, 0)) }
        }
    }

    public func keyIndex(of stream: StreamName) async throws -> KeyIndexState? {
        let sql = "SELECT s.keyed_from FROM \(namespace.quoted).streams s WHERE s.name = $1"
        return try await inSnapshot(CallSubject(stream)) { session in
            let rows = try session.query(sql, [.text(stream.rawValue)])
            return rows.count == 0 ? nil : KeyIndexState(keyedFrom: try rows.int64IfAny(0, 0))
        }
    }

    public func events(
        ofKey key: String, in stream: StreamName, after position: StreamID, limit: Int, byteLimit: Int
    ) async throws -> [PersistedEvent] {
        let (namespace, names, store) = (namespace, names, description)
        let name = namespace.quoted
        // None was persisted with such a key, and PostgreSQL has no text for it.
        let cannotBe = key.utf8.contains(0)
        let text = PostgresValue.text(cannotBe ? "" : key)
        let statements = [
            PostgresStatement(
                """
                SELECT s.keyed_from, s.moved_to, s.arriving_from,
                    coalesce((SELECT p.stream_id FROM \(name).pruned_keys p WHERE p.stream = s.stream AND p.key = $2), 0)
                FROM \(name).streams s WHERE s.name = $1
                """, [.text(stream.rawValue), text]),
            PostgresStatement(
                """
                SELECT \(EventRows.columns)
                FROM (
                    SELECT e.*, sum(octet_length(e.payload) + coalesce(octet_length(e.metadata), 0)) OVER (
                        ORDER BY e.stream_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes
                    FROM (
                        SELECT k.stream, k.stream_id FROM \(name).keys k
                        WHERE k.stream = (SELECT s.stream FROM \(name).streams s WHERE s.name = $1) AND k.key = $2
                            AND k.stream_id > $3
                        ORDER BY k.stream_id LIMIT $4
                    ) k
                    JOIN LATERAL (
                        SELECT x.* FROM \(name).events x WHERE x.stream = k.stream AND x.stream_id = k.stream_id LIMIT 1
                    ) e ON true
                ) e
                WHERE coalesce(e.bytes, 0) < $5
                ORDER BY e.stream_id
                """,
                [
                    .text(stream.rawValue), text, .int64(position.rawValue),
                    .int64(cannotBe ? 0 : Int64(clamping: limit)), .int64(Int64(clamping: max(byteLimit, 1))),
                ]),
        ]
        return try await inSnapshot(CallSubject(stream)) { session in
            let answers = try StreamHeader.read(session, statements)
            let header = answers[0]
            if header.count == 0 { throw TidemarkError.unknownStream(stream: stream, store: store) }
            try StreamElsewhere.check(header, 0, column: 1)
            let state = KeyIndexState(keyedFrom: try header.int64IfAny(0, 0))
            guard state == .complete else {
                throw TidemarkError.noKeyIndex(stream: stream, store: store, isBuilding: state != .missing)
            }
            let pruned = StreamID(try header.int64(0, 3))
            guard position >= pruned else {
                throw TidemarkError.pruned(stream: stream, after: position, through: pruned)
            }
            var rows = try EventRows(answers[1], names, session, namespace)
            return try (0..<rows.count).map { try rows.event($0) }
        }
    }

    /// A group in a stream with an index of keys, or with conditions.
    func persistKeyed(_ group: EventGroup) async throws -> PersistedGroup {
        let (stream, store) = (group.stream, description)
        let keys = GroupKeys(group)
        do {
            let written = try await write(
                """
                SELECT ids, are_new, tombstones, verdicts, details
                FROM \(namespace.function("persist_keyed_1"))(
                    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
                """,
                [
                    .text(stream.rawValue), .text(group.writer.instance.rawValue), .int64(Int64(group.writer.epoch)),
                    .int64(errors.lives[stream, group.writer]), .int64(group.fence), .int64(group.known.rawValue),
                    .texts(group.events.map(\.id)),
                    .texts(group.events.map(\.type)), .texts(group.events.map(\.key)),
                    .byteStrings(group.events.map(\.payload)), try Self.metadata(group.events), .texts(keys.all),
                    .int64s(keys.keyOf), .int64s(keys.callOf),
                    .int64s(group.calls.map { $0.condition.map { $0.expected?.rawValue ?? 0 } ?? -1 }),
                    .int64s(keys.leftOut),
                ], .onlyIfUndone
            ) { rows in
                (
                    outcomes: zip(try rows.int64s(0, 0), try rows.int64s(0, 1)).map { id, isNew in
                        isNew == 1 ? PersistOutcome.persisted(StreamID(id)) : .alreadyPersisted(StreamID(id))
                    }, tombstones: try rows.int64s(0, 2).map { StreamID($0) }.sorted(),
                    verdicts: zip(try rows.int64s(0, 3), try rows.int64s(0, 4)).map { ($0, $1) }
                )
            }
            var refusals: [Int: CallRefusal] = [:]
            for (number, (verdict, found)) in written.verdicts.enumerated() where verdict != 0 {
                refusals[number] = try Self.refusal(verdict, found, of: number, group, store)
            }
            return PersistedGroup(outcomes: written.outcomes, tombstones: written.tombstones, refusals: refusals)
        } catch let error as PostgresError where error.mayHaveHappened {
            throw TidemarkError.outcomeUnknown(stream: stream, events: group.events.map(\.id), problem: "\(error)")
        } catch {
            throw await writingError(error, CallSubject(stream, writer: group.writer))
        }
    }

    /// What `persist_keyed_1` says of a call that it has not persisted.
    private static func refusal(
        _ verdict: Int64, _ found: Int64, of number: Int, _ group: EventGroup, _ store: String
    ) throws -> CallRefusal {
        let condition = group.calls[number].condition
        switch verdict {
        case 1: return .leftOut
        case 2:
            return .failed(
                .conflict(
                    key: condition?.key ?? "", expected: condition?.expected,
                    found: found == 0 ? nil : StreamID(found)))
        case 3, 4: return .failed(.noKeyIndex(stream: group.stream, store: store, isBuilding: verdict == 4))
        case 5, 6:
            let index = Int(clamping: found - 1)
            let id = group.events.indices.contains(index) ? group.events[index].id : ""
            return .failed(
                .invalidEvent(
                    stream: group.stream, id: String(id.prefix(64)),
                    problem: verdict == 6
                        ? KeyCondition.isOfOtherKey : KeyCondition.isHalfThere))
        default:
            throw TidemarkError.storeUnavailable(store: store, problem: "it gave a call the verdict \(verdict)")
        }
    }
}

/// Which keys and calls the events of a group are of, as `persist_keyed_1` takes them.
private struct GroupKeys {
    /// Each once, in the order in which they come.
    private(set) var all: [String] = []
    /// Of each event the number of its key, from 1 on; 0 for none.
    private(set) var keyOf: [Int64] = []
    /// Of each event the number of its call, from 1 on.
    private(set) var callOf: [Int64] = []
    /// Of each call whether it is left out from the start: where calls are judged, one of an event that an earlier call of the
    /// group has is judged once that is there.
    private(set) var leftOut: [Int64] = []

    init(_ group: EventGroup) {
        // By their bytes: Swift takes different ones for the same text.
        var numbers: [[UInt8]: Int64] = [:]
        var firstCalls: [[UInt8]: Int] = [:]
        let isJudged = group.hasConditions && group.calls.count > 1
        var rest = group.events[...]
        for (index, call) in group.calls.enumerated() {
            var isDouble = false
            for event in rest.prefix(call.events) {
                callOf.append(Int64(index + 1))
                if let key = event.key {
                    let bytes = Array(key.utf8)
                    if numbers[bytes] == nil {
                        all.append(key)
                        numbers[bytes] = Int64(all.count)
                    }
                    keyOf.append(numbers[bytes] ?? 0)
                } else {
                    keyOf.append(0)
                }
                guard isJudged else { continue }
                let id = Array(event.id.utf8)
                if firstCalls[id, default: index] < index { isDouble = true }
                firstCalls[id] = firstCalls[id] ?? index
            }
            leftOut.append(isDouble ? 1 : 0)
            rest = rest.dropFirst(call.events)
        }
    }
}

extension KeyIndexState {
    /// As the column `keyed_from` has it.
    init(keyedFrom: Int64?) {
        switch keyedFrom {
        case nil: self = .missing
        case 0: self = .complete
        case .some(let id): self = .building(from: StreamID(id))
        }
    }
}
