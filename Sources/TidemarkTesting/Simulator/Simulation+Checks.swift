import Tidemark

/// What is checked after each step. A check looks at what its step has changed, and at nothing else: what no step has
/// touched since it was checked is as it was.
extension Simulation {
    /// A position that this writer has told anybody, or that the database keeps of it.
    mutating func promise(_ writer: Writer, _ position: StreamID) {
        promises[writer] = max(promises[writer] ?? 0, position)
    }

    // MARK: Commits

    /// No event commits at or below the cursor that any reader ever had, a minimum that one could read by, or what its
    /// own writer has promised.
    mutating func check(_ commits: [SimulatedDatabase.Commit]) {
        guard !commits.isEmpty else { return }
        if hasKeys { checkKeys(commits) }
        let version = database.stream.membershipVersion
        for commit in commits {
            history.add(Int(commit.id.rawValue))
            if commit.id > database.durableSequence {
                fail(.handedOutAgain, "\(commit.id) is committed, and the sequence at \(database.durableSequence)")
            }
            for process in processes { check(commit, against: process, version: version) }
            checkPartition(of: commit)
            if let promised = promises[commit.writer], commit.id <= promised {
                fail(.brokenPromise, "\(commit.writer) commits \(commit.id), and has promised \(promised)")
            }
        }
    }

    /// An event of a key comes above all of that key that were there, and was decided, if it was, on the one right before it:
    /// no event has two successors.
    private mutating func checkKeys(_ commits: [SimulatedDatabase.Commit]) {
        let events = database.stream.events
        for commit in commits {
            guard let event = events.first(where: { $0.streamID == commit.id })?.event, let key = event.key else {
                continue
            }
            let others = events.lazy.filter { $0.event.key == key }.map(\.streamID)
            if let newer = others.first(where: { id in id > commit.id && !commits.contains { $0.id == id } }) {
                fail(.keyHistory, "\(commit.writer) commits \(commit.id) of key \(key), which has \(newer)")
            }
            let decided = String(decoding: event.payload, as: UTF8.self)
            // The place of its key is kept for an event that was pruned.
            let pruned = database.stream.prunedKeys[Array(key.utf8)] ?? 0
            let before = max(others.last { $0 < commit.id } ?? 0, pruned)
            if !decided.isEmpty, decided != "\(before)" {
                fail(
                    .keyHistory,
                    "\(commit.writer) commits \(commit.id) of key \(key), decided on \(decided), and \(before) is before it"
                )
            }
        }
    }

    private mutating func check(
        _ commit: SimulatedDatabase.Commit, against process: SimulatedProcess, version: Int
    ) {
        let name = process.name
        // Also of its earlier lives: a consumer may keep its place itself, and what it was given stays given.
        if commit.id <= process.reached {
            fail(
                .skippedEvent, "\(commit.writer) commits \(commit.id), the reader of \(name) was at \(process.reached)")
        }
        guard process.phase == .up, isOfThisLife(process.number) else { return }
        let (watermark, note) = process.memory.machine { ($0.watermark, $0.note()) }
        // Nobody reads by what was computed from a lie.
        let isFalse = note.heard >= StreamID(Self.lie)
        if commit.id <= watermark.minimum, watermark.membershipVersion == version, !isFalse {
            fail(
                .committedBelowMinimum,
                "\(commit.writer) commits \(commit.id), the minimum of \(name) is \(watermark.minimum)")
        }
        if commit.id <= note.confirmed {
            fail(
                .committedBelowMinimum,
                "\(commit.writer) commits \(commit.id), \(name) has confirmed \(note.confirmed)")
        }
    }

    // MARK: The database

    /// In the database nothing goes back: epochs, the membership version, and within an epoch the durable position.
    mutating func checkDatabase() {
        let stream = database.stream
        if stream.membershipVersion < lastVersion {
            fail(.positionWentBack, "the membership version was \(lastVersion) and is \(stream.membershipVersion)")
        }
        lastVersion = stream.membershipVersion
        // In any order: at most one row has changed since the last time, so that at most one check fails.
        for (name, row) in stream.writers {
            let last = lastRows[name]
            if let last, last.epoch == row.epoch, last.position == row.position { continue }
            let writer = Writer(name, epoch: row.epoch)
            if let last, row.epoch < last.epoch {
                fail(.positionWentBack, "\(name) was in epoch \(last.epoch) and is in \(row.epoch)")
            } else if let last, row.epoch == last.epoch, row.position < last.position {
                fail(.positionWentBack, "the durable position of \(writer) was \(last.position) and is \(row.position)")
            }
            lastRows[name] = (row.epoch, row.position)
            if row.isMember { promise(writer, row.position) }
        }
    }

    /// No ID that anybody could have seen is handed out again: none that has a row, and none that a position names.
    mutating func checkAllocated(_ ids: [StreamID], in stream: InMemoryDatabase.Stream) {
        let position = stream.writers.values.map(\.position).max() ?? 0
        for id in ids {
            history.add(Int(id.rawValue))
            if stream.rows[id] != nil || id <= position || id <= stream.pruned.through {
                fail(
                    .handedOutAgain,
                    "\(id), the highest durable position is \(position), \(stream.pruned.through) are pruned")
            }
            if let reader = processes.first(where: { id <= $0.reached }) {
                fail(.handedOutAgain, "\(id), the reader of \(reader.name) was at \(reader.reached)")
            }
        }
    }

    /// Every event that was acknowledged is where it was said to be.
    mutating func checkAcknowledged() {
        let stream = database.stream
        for (event, id) in acknowledged where !stream.has(event, at: id) {
            fail(.acknowledgedEventLost, "\(event) was acknowledged at \(id)")
        }
    }

    // MARK: Processes

    /// Positions never go back in their epoch, a cursor never does, and nobody takes for known, or promises, what a crash
    /// can take back, or takes a writer to be further than it has promised.
    mutating func check(_ number: Int) {
        guard processes[number].phase == .up, isOfThisLife(number) else { return }
        let era = processes[number].memory.machine { $0.era }
        if era != processes[number].memory.era {
            // In another life others have the same names, and begin anew.
            processes[number].memory.era = era
            processes[number].memory.positions = [:]
        }
        let (known, watermark, position) = processes[number].memory.machine { ($0.known, $0.watermark, $0.position) }
        history.add(Int(known.rawValue))
        history.add(Int(watermark.minimum.rawValue))
        if known > database.durableSequence {
            fail(
                .knownButNotDurable,
                "\(processes[number].name) knows \(known), only \(database.durableSequence) is durable")
        }
        if let position, position > database.durableSequence {
            fail(
                .knownButNotDurable,
                "\(processes[number].name) is at \(position), only \(database.durableSequence) is durable")
        }
        checkPositions(number)
        let cursor = processes[number].memory.cursor.position
        if cursor < processes[number].memory.lastCursor {
            let last = processes[number].memory.lastCursor
            fail(.cursorWentBack, "the reader of \(processes[number].name) was at \(last) and is at \(cursor)")
        }
        processes[number].memory.lastCursor = cursor
    }

    mutating func checkPositions(_ number: Int) {
        let (own, positions) = processes[number].memory.machine { ($0.own, $0.positions) }
        let before = processes[number].memory.positions
        if positions == before { return }
        processes[number].memory.positions = positions
        let name = processes[number].name
        // Sorted, for the first failure is the one that is told.
        for (writer, position) in positions.sorted(by: { $0.key.instance < $1.key.instance }) {
            if let last = before[writer], position < last {
                fail(.positionWentBack, "\(name) had \(writer) at \(last) and has it at \(position)")
            }
            if writer != own, position > promises[writer] ?? 0, position < StreamID(Self.lie) {
                fail(.brokenPromise, "\(name) has \(writer) at \(position), which has promised no such thing")
            }
        }
    }

    /// The reader got what lies between its old and its new cursor: all of it, in order, once.
    mutating func checkBatch(_ batch: [PersistedEvent], after before: StreamID, through end: StreamID, _ number: Int) {
        let name = processes[number].name
        if end < before { fail(.cursorWentBack, "the reader of \(name) was at \(before) and is at \(end)") }
        // What was pruned since its snapshot is not there to compare.
        let mark = database.stream.pruned.through
        let ids = batch.map(\.streamID).filter { $0 > mark }
        let expected = database.stream.rows.filter { id, row in
            guard id > before, id <= end, case .event = row else { return false }
            return true
        }.keys.sorted()
        if ids == expected { return }
        if let skipped = expected.first(where: { !ids.contains($0) }) {
            fail(.skippedEvent, "\(skipped) was committed while the reader of \(name) went from \(before) to \(end)")
        } else {
            fail(.wrongBatch, "the reader of \(name) got \(ids), and \(expected) is there")
        }
    }
}

extension InMemoryDatabase.Stream {
    /// Whether the event is there, or was pruned: then its id is left.
    func has(_ event: String, at id: StreamID) -> Bool {
        if id <= pruned.through, ids[Array(event.utf8)] == id { return true }
        guard case .event(let row) = rows[id] else { return false }
        return row.event.id == event
    }
}
