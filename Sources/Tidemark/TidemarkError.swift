/// What can go wrong, with the stream, the instance and the IDs it happened to. The description says what to do.
public enum TidemarkError: Error, Hashable, Sendable {
    // MARK: Events

    /// The event is not one that can be persisted; nothing was written for it.
    case invalidEvent(stream: StreamName, id: String, problem: String)

    // MARK: IDs and scopes

    /// This instance reads only: it has not joined the stream, or has left it.
    case notAMember(stream: StreamName, instance: InstanceName)
    /// The sequence did not answer within the scope's time limit. An answer that comes later is abandoned.
    case sequenceTimedOut(stream: StreamName, instance: InstanceName, limit: Duration)
    /// The sequence gave an ID that it may have given before: the database was put back.
    case sequenceWentBackwards(stream: StreamName, instance: InstanceName, id: StreamID, known: StreamID)
    /// The sequence broke its contract in another way.
    case invalidSequenceAnswer(stream: StreamName, instance: InstanceName, problem: String)
    /// The scope ran over its time limit and its IDs were abandoned: no event can take them any more.
    case reservationExpired(stream: StreamName, instance: InstanceName, ids: [StreamID], limit: Duration)
    /// The ID was closed for this writer, or its scope is over: nothing was written under it. Take a new one.
    case closed(stream: StreamName, instance: InstanceName, id: StreamID)

    // MARK: Membership

    /// Another process joined under this instance's name; this one has stopped writing for good.
    case instanceTaken(stream: StreamName, writer: Writer, by: Writer?)
    /// The writer was retired after a long silence; it may join again.
    case retired(stream: StreamName, writer: Writer)
    /// There is no writer of that name in the stream.
    case unknownInstance(stream: StreamName, instance: InstanceName)
    /// There is no such stream in the database.
    case unknownStream(stream: StreamName, store: String)
    /// No reader has ever kept its place under this name.
    case unknownConsumer(stream: StreamName, consumer: ConsumerName, known: [ConsumerName])
    /// Another reader goes on under this consumer's name, or it was moved by hand; this one has stopped.
    case consumerTaken(stream: StreamName, consumer: ConsumerName)
    /// A process that lives reads under this consumer's name, and it was not to be taken over.
    case consumerInUse(stream: StreamName, consumer: ConsumerName, by: String?)
    /// A consumer is asked for with another filter than it has.
    case filterDiffers(stream: StreamName, consumer: ConsumerName, stored: EventFilter)
    /// The filter cannot be kept.
    case invalidFilter(stream: StreamName, consumer: ConsumerName, problem: String)
    /// The consumer's checkpoint is beyond where the batch begins: it was dealt with before. The transaction cannot commit.
    case alreadyPassed(stream: StreamName, consumer: ConsumerName, begin: StreamID, checkpoint: StreamID)
    /// The consumer's checkpoint is below where the batch begins: batches before it were not dealt with. The transaction cannot
    /// commit.
    case notYetPassed(stream: StreamName, consumer: ConsumerName, begin: StreamID, checkpoint: StreamID)
    /// A place that was kept elsewhere is one of another database.
    case otherDatabase(stream: StreamName, place: EventPlace)
    /// A consumer cannot be moved there: what comes after the highest place may still be committed.
    case notReached(stream: StreamName, id: StreamID, highest: StreamID)

    // MARK: Processors

    /// The processor was made with another number of partitions, or another hash.
    case partitionsDiffer(stream: StreamName, consumer: ConsumerName, found: String, asked: String)
    /// The consumer is a processor: its partitions have checkpoints of their own.
    case isProcessor(stream: StreamName, consumer: ConsumerName)
    /// The store of the log cannot keep processors.
    case noProcessors(stream: StreamName, store: String)
    /// An event could not be handled, and the processor is to stop then. Nothing of it was passed.
    case handlerFailed(stream: StreamName, consumer: ConsumerName, id: StreamID, attempts: Int, problem: String)
    /// More events of one key are parked than may be, or, where keys are held, of one partition.
    case tooManyHeld(stream: StreamName, consumer: ConsumerName, id: StreamID, limit: Int)
    /// An event is in a table of the user's own, and there is no handler for such events.
    case externalEventUnhandled(stream: StreamName, consumer: ConsumerName, id: StreamID)
    /// These events are not parked.
    case notParked(stream: StreamName, consumer: ConsumerName, ids: [StreamID])

    // MARK: Committing

    /// A group names a fence that the database has raised since: nothing was written. It is tried again with the newest.
    case fenced(stream: StreamName, writer: Writer, fence: Int64)
    /// The database has not said whether these events were committed. They may be there; persisting them again under the
    /// same ids is safe.
    case outcomeUnknown(stream: StreamName, events: [String], problem: String)

    // MARK: Keys

    /// The newest event of the key is not the one that the call expected; nil stands for none. Nothing of the call was written.
    case conflict(key: String, expected: StreamID?, found: StreamID?)
    /// The key has a newer event than the ID that was to take one: nothing was written under the ID, and a tombstone holds it.
    case keyPassed(stream: StreamName, key: String, id: StreamID, newest: StreamID)
    /// The stream has no index of keys, or one that is not complete yet.
    case noKeyIndex(stream: StreamName, store: String, isBuilding: Bool)

    // MARK: Reading

    /// An event that was passed before is no longer in the database, or is another one: the database was put back or replaced.
    case databaseWentBackwards(stream: StreamName, id: StreamID, problem: String)
    /// The database is in another incarnation, and does not have what was acknowledged in the one before: a standby that
    /// lagged was promoted, or a backup was put in its place.
    case acknowledgedEventsLost(stream: StreamName, id: StreamID, problem: String)

    /// What follows the ID was pruned, up to `through`: it is not there any more.
    case pruned(stream: StreamName, after: StreamID, through: StreamID)
    /// The stream cannot be pruned up to this ID: somebody is at a lower place.
    case pruneHeldBack(stream: StreamName, id: StreamID, by: PruneHolder, at: StreamID)
    /// The store of the log cannot prune.
    case noPruning(stream: StreamName, store: String)

    // MARK: Moving

    /// The stream is in another store now: everybody is refused here.
    case streamMoved(stream: StreamName, store: String, to: String)
    /// The stream is being moved here and is not whole yet: nobody may use it.
    case streamArriving(stream: StreamName, store: String, from: String)
    /// A stream cannot be moved here, because there is one of its name.
    case streamExists(stream: StreamName, store: String)
    /// A move cannot come to its end.
    case moveFailed(stream: StreamName, problem: String)

    // MARK: The log

    /// The log was shut down.
    case stopped(stream: StreamName, instance: InstanceName)

    // MARK: Stores

    /// The database cannot be reached or opened: a missing folder or file, a lost connection, a failing disk.
    case storeUnavailable(store: String, problem: String)
    /// The database is a standby, or only to be read: writers and readers need the primary (rule 7).
    case notPrimary(store: String)
    /// A file that is open was deleted, moved or replaced: what was written to it since is lost to everyone else.
    case databaseReplaced(store: String)
    /// A transaction of the user's own cannot take IDs as it is; it does not commit.
    case unsuitableTransaction(store: String, problem: String)
    /// The file is not a database, or its contents are damaged.
    case notADatabase(store: String, problem: String)
    /// The database was made by a newer version of Tidemark.
    case schemaTooNew(store: String, found: Int, supported: Int)
    /// The database can be read only.
    case readOnly(store: String)
    /// The disk is full, a quota is used up, or the file may not get larger; nothing was written.
    case storeFull(store: String)
    /// A backup cannot go into this file; nothing was made.
    case backupRefused(store: String, file: String, problem: String)
    /// Another process, or a transaction of this one, held the database's write lock for longer than the limit.
    case writeLockHeld(store: String, by: String?, limit: Duration)
    /// Somebody else has locked the database so that nobody can read it, for longer than the limit.
    case lockedForReading(store: String, by: String?, limit: Duration)
}

extension TidemarkError {
    /// Whether the writer's epoch is over: it was retired, or another process has its name.
    var endsEpoch: Bool {
        switch self {
        case .instanceTaken, .retired: true
        default: false
        }
    }

    /// Whether it ends a log for good: trying again cannot help.
    var isFinal: Bool {
        switch self {
        case .instanceTaken, .databaseWentBackwards, .sequenceWentBackwards, .databaseReplaced, .notADatabase,
            .acknowledgedEventsLost, .streamMoved:
            true
        default: false
        }
    }

    /// Whether what a reader would read from now on is not what it has read before.
    var endsReading: Bool {
        switch self {
        case .databaseWentBackwards, .sequenceWentBackwards, .databaseReplaced, .notADatabase, .acknowledgedEventsLost,
            .streamMoved:
            true
        default: false
        }
    }
}

extension TidemarkError: CustomStringConvertible {
    /// What happened, to which stream, instance and ID, and what to do.
    public var description: String {
        switch self {
        case .invalidEvent(let stream, let id, let problem):
            "event \"\(id)\" cannot be persisted in stream \(stream): \(problem)"
        case .notAMember(let stream, let instance):
            "instance \(instance) is not a writer of stream \(stream): open the log with the name of an instance"
        case .sequenceTimedOut(let stream, let instance, let limit):
            "instance \(instance) got no ID for stream \(stream) within \(limit): the database is slow or gone; try again"
        case .sequenceWentBackwards(let stream, let instance, let id, let known):
            "the sequence of stream \(stream) gave instance \(instance) the ID \(id), although \(known) was given out "
                + "before: the database was restored from a backup; restart every process that uses it"
        case .invalidSequenceAnswer(let stream, let instance, let problem):
            "the sequence of stream \(stream) gave instance \(instance) IDs that cannot be right: \(problem)"
        case .reservationExpired(let stream, let instance, let ids, let limit):
            "instance \(instance) held \(Self.shown(ids)) of stream \(stream) for longer than \(limit): abandoned; "
                + "nothing was persisted under it, try again with a new one"
        case .closed(let stream, let instance, let id):
            "ID \(id) of stream \(stream) was closed for instance \(instance): nothing was persisted under it, "
                + "try again with a new one"
        case .instanceTaken(let stream, let writer, let holder):
            "another process \(holder.map { "(\($0)) " } ?? "")has taken the instance name of \(writer) in stream "
                + "\(stream): this process has stopped writing; give each process a name of its own"
        case .retired(let stream, let writer):
            "writer \(writer) of stream \(stream) was retired: join again to write"
        case .unknownInstance(let stream, let instance):
            "stream \(stream) has no writer named \(instance)"
        case .unknownStream(let stream, let store):
            "\(store) has no stream named \(stream)"
        case .unknownConsumer(let stream, let consumer, let known):
            "stream \(stream) has no consumer named \(consumer)"
                + (known.isEmpty
                    ? ", nor any other"
                    : "; there \(known.count == 1 ? "is" : "are") "
                        + known.map(\.rawValue).joined(separator: ", "))
        case .consumerTaken(let stream, let consumer):
            "another reader has taken over consumer \(consumer) of stream \(stream), or it was moved by hand: this one has "
                + "stopped"
        case .consumerInUse(let stream, let consumer, let holder):
            "consumer \(consumer) of stream \(stream) is in use by \(holder ?? "another process"): end that, take the "
                + "consumer over, or choose another name"
        case .filterDiffers(let stream, let consumer, let stored):
            "consumer \(consumer) of stream \(stream) is there with another filter, \(stored): ask for it with that one, choose "
                + "another name, or change it (tidemark consumer filter)"
        case .invalidFilter(let stream, let consumer, let problem):
            "consumer \(consumer) of stream \(stream) cannot have this filter: \(problem)"
        case .alreadyPassed(let stream, let consumer, let begin, let checkpoint):
            "consumer \(consumer) of stream \(stream) has its checkpoint at \(checkpoint), and the batch begins at \(begin): it "
                + "was dealt with before, and this transaction does not commit; go on with a new reader of the consumer"
        case .notYetPassed(let stream, let consumer, let begin, let checkpoint):
            "consumer \(consumer) of stream \(stream) has its checkpoint at \(checkpoint), and the batch begins at \(begin): what "
                + "lies between was not dealt with, and this transaction does not commit; move the checkpoint with each batch, "
                + "in their order"
        case .otherDatabase(let stream, let place):
            "the place \(place) was kept from another database than the one that has stream \(stream) here: begin at the "
                + "beginning, or with an ID that you know to be right"
        case .notReached(let stream, let id, let highest):
            "no consumer of stream \(stream) can be moved to \(id): it is finished up to \(highest), and what comes after "
                + "that may still be committed"
        case .partitionsDiffer(let stream, let consumer, let found, let asked):
            "consumer \(consumer) of stream \(stream) was made with \(found), and is to have \(asked): that is fixed; use the "
                + "former, or make a consumer of another name"
        case .isProcessor(let stream, let consumer):
            "consumer \(consumer) of stream \(stream) is a processor, whose partitions have checkpoints of their own: run it "
                + "as a processor, or choose another name"
        case .noProcessors(let stream, let store):
            "\(store) cannot keep a processor of stream \(stream): use a store that conforms to ProcessorStore"
        case .handlerFailed(let stream, let consumer, let id, let attempts, let problem):
            "consumer \(consumer) of stream \(stream) has stopped at event \(id), whose handler failed \(attempts) times: "
                + "\(problem); mend that and start it again, or let it park such events"
        case .tooManyHeld(let stream, let consumer, let id, let limit):
            "consumer \(consumer) of stream \(stream) has stopped at event \(id): more than \(limit) events of its key, or "
                + "of its partition, are parked; retry or drop them (tidemark consumer parked) and start it again"
        case .externalEventUnhandled(let stream, let consumer, let id):
            "event \(id) of stream \(stream) is in a table of your own, and consumer \(consumer) has no handler for such events: "
                + "give the processor one"
        case .notParked(let stream, let consumer, let ids):
            "consumer \(consumer) of stream \(stream) has not parked \(Self.shown(ids)): nothing was changed"
        case .fenced(let stream, let writer, let fence):
            "the fence of writer \(writer) of stream \(stream) is at \(fence) now: nothing was written; try again with it"
        case .outcomeUnknown(let stream, let events, let problem):
            "it is not known whether \(events.count == 1 ? "event \"\(events[0].prefix(64))\"" : "\(events.count) events") "
                + "of stream \(stream) were committed: \(problem); persist the same ids again, which writes nothing twice"
        case .conflict(let key, let expected, let found):
            "key \"\(key.prefix(64))\" was expected to have \(expected.map { "\($0) as its newest event" } ?? "no event"), and "
                + "has \(found.map { "\($0)" } ?? "none"): nothing was persisted; load its events again, decide, and persist "
                + "what follows from them"
        case .keyPassed(let stream, let key, let id, let newest):
            "key \"\(key.prefix(64))\" of stream \(stream) has event \(newest), and no event of it can come at ID \(id), which "
                + "was allocated before: nothing was persisted under it, try again with a new one"
        case .noKeyIndex(let stream, let store, let isBuilding):
            isBuilding
                ? "the index of keys of stream \(stream) in \(store) is not complete yet: let it be built to its end (tidemark "
                    + "index takes it up again)"
                : "stream \(stream) in \(store) has no index of keys: build one (tidemark index)"
        case .acknowledgedEventsLost(let stream, let id, let problem):
            "events of stream \(stream) that were acknowledged are lost, from ID \(id) or below: \(problem); the database "
                + "was promoted or put back, restart every process that uses it and check what its readers have done since"
        case .pruned(let stream, let position, let end):
            "what follows \(position) in stream \(stream) is not there any more: it was pruned up to \(end); begin there, with "
                + "what you have kept of the events before"
        case .pruneHeldBack(let stream, let id, let holder, let place):
            "stream \(stream) cannot be pruned up to \(id): \(holder) is at \(place)\(holder.advice)"
        case .noPruning(let stream, let store):
            "\(store) cannot prune stream \(stream): use a store that conforms to PrunableStore"
        case .streamMoved(let stream, let store, let place):
            "stream \(stream) is not in \(store) any more: it went to \(place); use that"
        case .streamArriving(let stream, let store, let source):
            "stream \(stream) is being moved to \(store) from \(source), and is not whole yet: let the move come to its end "
                + "(tidemark move takes it up again), or take it back"
        case .streamExists(let stream, let store):
            "\(store) has a stream \(stream) already: move it into another database"
        case .moveFailed(let stream, let problem):
            "stream \(stream) cannot be moved: \(problem)"
        case .notPrimary(let store):
            "\(store) is a standby, or can only be read: name the primary, or see whether the role or the database has "
                + "default_transaction_read_only set"
        case .databaseWentBackwards(let stream, let id, let problem):
            "stream \(stream) is not what it was at ID \(id): \(problem); the database was restored or replaced, "
                + "restart every process that uses it, check what its readers have done since, and move the consumers "
                + "that this is said of again (tidemark consumer move)"
        case .stopped(let stream, let instance):
            "the log of stream \(stream) was shut down as instance \(instance): open it again"
        case .storeUnavailable(let store, let problem):
            "\(store) cannot be used: \(problem)"
        case .databaseReplaced(let store):
            "the file of \(store), its -wal or its -shm was deleted, moved, replaced or overwritten while it was open: "
                + "nothing more is read from it or written to it; restart every process that uses it and check what was "
                + "lost"
        case .unsuitableTransaction(let store, let problem):
            "this transaction cannot commit stream IDs of \(store): \(problem)"
        case .notADatabase(let store, let problem):
            "\(store) is not a database that Tidemark can use: \(problem)"
        case .schemaTooNew(let store, let found, let supported):
            "\(store) has schema version \(found), this program knows up to \(supported): use a newer one"
        case .readOnly(let store):
            "\(store) can only be read: check the permissions of the file and of its folder"
        case .storeFull(let store):
            "the disk of \(store) is full, or a quota or a limit of the size of files is reached: nothing was written; make "
                + "room and try again"
        case .backupRefused(let store, let file, let problem):
            "\(store) cannot be copied to \(file): \(problem)"
        case .writeLockHeld(let store, let holder, let limit):
            "\(holder ?? "another process") has held the write lock of \(store) for more than \(limit): "
                + "nothing was written; try again when it has ended, and continue or end a process that is stopped"
        case .lockedForReading(let store, let holder, let limit):
            "\(holder ?? "another process") has locked \(store) for itself alone for more than \(limit): nothing was read; "
                + "end that process, or its exclusive lock, then try again"
        }
    }

    private static func shown(_ ids: [StreamID]) -> String {
        guard let first = ids.first, let last = ids.last else { return "no ID" }
        return ids.count == 1 ? "ID \(first)" : "\(ids.count) IDs from \(first) to \(last)"
    }
}
