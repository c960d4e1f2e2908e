public import GRDB
import Synchronization
public import Tidemark

extension EventLog {
    /// A processor whose handler gets the transaction in which its event is passed: what it writes in tables of the same
    /// database is there exactly once, however its process ends.
    ///
    /// The events of a partition are handled one after another, in order; those of different partitions too, because SQLite
    /// has one writer. Every other writer of the database waits for the handler: it does nothing slow, and nothing outside
    /// of the database. What it throws takes back what it wrote.
    public func processor(
        _ name: ConsumerName, from start: ConsumerStart = .beginning, filter: EventFilter = .all,
        configuration: ProcessorConfiguration = ProcessorConfiguration(),
        handleInTransaction handle: @escaping @Sendable (PersistedEvent, Database) throws -> Void
    ) -> EventProcessor {
        processor(name, from: start, filter: filter, configuration: configuration, on: "SQLite") {
            (store: SQLiteEventStore, event, start, processor) in
            try await store.handle(event, start, of: processor, handle)
        }
    }
}

extension SQLiteEventStore {
    fileprivate func handle(
        _ event: PersistedEvent, _ start: ProcessorMachine.Start, of processor: ProcessorName,
        _ handle: @escaping @Sendable (PersistedEvent, Database) throws -> Void
    ) async throws {
        let thrown = Mutex<(any Error)?>(nil)
        let context = HandlingContext.current
        do {
            try await write { db in
                let rows = try ProcessorRows(processor, in: db, store: self)
                guard try rows.mayPass(start) else { throw UnknownOutcome(Self.isPassed) }
                // Somebody has dropped it: then nobody handles it.
                if start.isLate, try !ProcessorRows.isParked(start.id, by: processor.consumer, rows.stream, db) {
                    return
                }
                do {
                    // The transaction has a thread of its own.
                    try HandlingContext.$current.withValue(context) { try handle(event, db) }
                } catch {
                    thrown.withLock { $0 = error }
                    throw error
                }
                try rows.passInTransaction(start)
            }
        } catch let error as DatabaseError where error.resultCode == .SQLITE_CONSTRAINT {
            // What it has written cannot be committed: it would be the same again and again.
            throw thrown.withLock { $0 } ?? error
        } catch {
            if let thrown = thrown.withLock({ $0 }) { throw thrown }
            // What the database has is read again with the next claim.
            throw error as? UnknownOutcome ?? UnknownOutcome("\(error)")
        }
    }

    fileprivate static let isPassed = "it was passed before, or another process has its partition"
}

extension ProcessorRows {
    /// Whether the event has not been passed, and the claim is the newest.
    fileprivate func mayPass(_ start: ProcessorMachine.Start) throws -> Bool {
        guard try owns(start.partition, start.claim) else { return false }
        if start.isLate { return true }
        return try position(of: start.partition) < start.id
    }

    fileprivate func passInTransaction(_ start: ProcessorMachine.Start) throws {
        guard !start.isLate else { return try remove(start.id) }
        guard let passage = start.passage, passage.position == start.id else {
            preconditionFailure("an event that is not the partition's next one is handled in its transaction")
        }
        guard try pass(passage, partition: start.partition, claim: start.claim) else {
            throw UnknownOutcome(SQLiteEventStore.isPassed)
        }
        try moveConsumer()
    }
}
