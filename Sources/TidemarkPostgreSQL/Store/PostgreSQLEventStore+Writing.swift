import Synchronization
public import Tidemark

extension PostgreSQLEventStore {
    /// - Precondition: `count` is 1 to 1,000,000.
    public func allocate(_ count: Int, in stream: StreamName, for writer: Writer) async throws -> [StreamID] {
        precondition((1...1_000_000).contains(count), "one call allocates 1 to 1,000,000 IDs, not \(count)")
        do {
            // IDs whose answer was lost are handed out to nobody.
            return try await write(
                "SELECT ids FROM \(namespace.function("allocate_1"))($1, $2, $3, $4, $5)",
                [
                    .text(stream.rawValue), .text(writer.instance.rawValue), .int64(Int64(writer.epoch)),
                    .int64(errors.lives[stream, writer]), .int32(Int32(count)),
                ], .onlyIfUndone
            ) { try $0.int64s(0, 0).map { StreamID($0) } }
        } catch {
            throw await writingError(error, CallSubject(stream, writer: writer))
        }
    }

    /// Works for a writer whose epoch is over too: what it left behind has to be finished by somebody.
    public func abandon(
        _ ids: [StreamID], allocatedIn incarnation: Incarnation?, in stream: StreamName, by writer: Writer
    ) async throws -> AbandonedIDs {
        if ids.isEmpty { return AbandonedIDs() }
        precondition(ids.allSatisfy { $0 >= 1 }, "the IDs of a stream begin at 1")
        return try await exclude(
            CallSubject(stream, writer: writer),
            "SELECT committed, void, pruned FROM \(namespace.function("abandon_1"))($1, $2, $3, $4, $5, $6, $7)",
            [
                .text(stream.rawValue), .text(writer.instance.rawValue), .int64(Int64(writer.epoch)),
                .int64(errors.lives[stream, writer]), .int64(incarnation?.rawValue), .int64s(ids.map(\.rawValue)),
                lockLimitMilliseconds,
            ]
        ) { rows in
            AbandonedIDs(
                committed: try rows.int64s(0, 0).map { StreamID($0) }, void: try rows.int64s(0, 1).map { StreamID($0) },
                pruned: try rows.int64s(0, 2).map { StreamID($0) })
        }
    }

    public func persist(_ group: EventGroup) async throws -> PersistedGroup {
        if group.events.isEmpty { return PersistedGroup(outcomes: []) }
        try Self.check(group.events, in: group.stream)
        if group.hasConditions || keyedStreams.withLock({ $0.contains(group.stream) }) {
            return try await persistKeyed(group)
        }
        do {
            return try await write(
                """
                SELECT ids, are_new, tombstones
                FROM \(namespace.function("persist_1"))($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
                """,
                [
                    .text(group.stream.rawValue), .text(group.writer.instance.rawValue),
                    .int64(Int64(group.writer.epoch)), .int64(errors.lives[group.stream, group.writer]),
                    .int64(group.fence), .int64(group.known.rawValue),
                    .texts(group.events.map(\.id)), .texts(group.events.map(\.type)), .texts(group.events.map(\.key)),
                    .byteStrings(group.events.map(\.payload)), try Self.metadata(group.events),
                ], .onlyIfUndone
            ) { rows in
                PersistedGroup(
                    outcomes: zip(try rows.int64s(0, 0), try rows.int64s(0, 1)).map { id, isNew in
                        isNew == 1 ? .persisted(StreamID(id)) : .alreadyPersisted(StreamID(id))
                    }, tombstones: try rows.int64s(0, 2).map { StreamID($0) }.sorted())
            }
        } catch let error as PostgresError where error.sqlState == "TM031" {
            // The stream has an index of keys: the group is written with that, and so are those to come.
            _ = keyedStreams.withLock { $0.insert(group.stream) }
            return try await persistKeyed(group)
        } catch let error as PostgresError where error.mayHaveHappened {
            throw TidemarkError.outcomeUnknown(
                stream: group.stream, events: group.events.map(\.id), problem: "\(error)")
        } catch {
            throw await writingError(error, CallSubject(group.stream, writer: group.writer))
        }
    }

    public func settle(_ groups: [EventGroup]) async throws -> Settlement {
        guard let first = groups.first else { preconditionFailure("there is at least one group to settle") }
        precondition(
            groups.allSatisfy { $0.writer == first.writer && $0.stream == first.stream }, "one writer's groups")
        let fence = groups.map(\.fence).max() ?? 0
        let found = try await exclude(
            CallSubject(first.stream, writer: first.writer),
            """
            SELECT new_fence, ids, are_own, tombstones
            FROM \(namespace.function("settle_1"))($1, $2, $3, $4, $5, $6, $7, $8)
            """,
            [
                .text(first.stream.rawValue), .text(first.writer.instance.rawValue), .int64(Int64(first.writer.epoch)),
                .int64(errors.lives[first.stream, first.writer]), .int64(fence),
                .texts(groups.flatMap { $0.events.map(\.id) }),
                .int64s(groups.flatMap { group in group.events.map { _ in group.known.rawValue } }),
                lockLimitMilliseconds,
            ]
        ) { rows in
            (
                fence: try rows.int64(0, 0), ids: try rows.int64s(0, 1), areOwn: try rows.int64s(0, 2),
                tombstones: try rows.int64s(0, 3)
            )
        }
        var next = 0
        let settled = groups.map { group -> PersistedGroup? in
            let range = next..<next + group.events.count
            next = range.upperBound
            guard !found.ids[range].contains(0) else { return nil }
            return PersistedGroup(
                outcomes: range.map { index in
                    let id = StreamID(found.ids[index])
                    return found.areOwn[index] == 1 ? .persisted(id) : .alreadyPersisted(id)
                }, tombstones: found.tombstones.filter { $0 > group.known.rawValue }.map { StreamID($0) })
        }
        // What was forgotten before they were looked for is forgotten now.
        if settled.contains(nil), let pruned = try await pruned(of: first.stream) {
            for (group, outcome) in zip(groups, settled) where outcome == nil { try pruned.requireKnown(group) }
        }
        return Settlement(fence: found.fence, groups: settled)
    }

    public func persist(
        _ event: Event, as id: StreamID, in stream: StreamName, by writer: Writer
    ) async throws -> PersistOutcome {
        try Self.check([event], in: stream)
        do {
            return try await write(
                """
                SELECT stream_id, is_new, newest FROM \(namespace.function("persist_as_1"))($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
                """,
                [
                    .text(stream.rawValue), .text(writer.instance.rawValue), .int64(Int64(writer.epoch)),
                    .int64(errors.lives[stream, writer]), .int64(id.rawValue), .text(event.id), .text(event.type),
                    .text(event.key), .bytes(event.payload),
                    .text(try MetadataText.text(event.metadata)),
                ], .onlyIfUndone
            ) { rows in
                if let key = event.key, let newest = try rows.int64IfAny(0, 2) {
                    throw TidemarkError.keyPassed(stream: stream, key: key, id: id, newest: StreamID(newest))
                }
                let found = StreamID(try rows.int64(0, 0))
                return try rows.bool(0, 1) ? .persisted(found) : .alreadyPersisted(found)
            }
        } catch let error as PostgresError where error.mayHaveHappened {
            throw TidemarkError.outcomeUnknown(stream: stream, events: [event.id], problem: "\(error)")
        } catch {
            throw await writingError(error, CallSubject(stream, writer: writer))
        }
    }

    /// Null where no event has any.
    static func metadata(_ events: [Event]) throws -> PostgresValue {
        if events.allSatisfy(\.metadata.isEmpty) { return .null }
        return .texts(try events.map { try MetadataText.text($0.metadata) })
    }

    /// The texts of PostgreSQL have no zero bytes.
    static func check(_ events: [Event], in stream: StreamName) throws {
        for event in events {
            let texts = [("id", event.id), ("type", event.type), ("key", event.key ?? "")]
            for (name, text) in texts where text.utf8.contains(0) {
                throw TidemarkError.invalidEvent(
                    stream: stream, id: String(event.id.prefix(64)),
                    problem: "its \(name) has a zero byte, which PostgreSQL cannot keep")
            }
        }
    }
}
