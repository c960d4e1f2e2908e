import Tidemark

extension Simulation {
    /// A position that this writer has told anybody, or the database.
    mutating func promise(_ writer: Writer, _ position: StreamID) {
        promises[writer] = max(promises[writer] ?? 0, position)
    }

    /// No event commits at or below the cursor of any reader, a minimum that one could read by, or what its own writer
    /// has promised.
    mutating func check(_ commits: [SimulatedDatabase.Commit]) {
        guard !commits.isEmpty else { return }
        let stream = database.stream
        for commit in commits {
            history.add(Int(commit.id.rawValue))
            for process in processes {
                let name = "\(process.instance)(\(process.number))"
                let checkpoint = stream.consumers[process.consumerName]?.position ?? 0
                let cursor = process.phase == .up ? process.memory.cursor.position : checkpoint
                if commit.id <= max(cursor, checkpoint) {
                    fail(.skippedEvent, "\(commit.writer) commits \(commit.id), the reader of \(name) is at \(cursor)")
                }
                guard process.phase == .up else { continue }
                let watermark = process.memory.tracker.watermark
                if commit.id <= watermark.minimum, watermark.membershipVersion == stream.membershipVersion {
                    fail(
                        .committedBelowMinimum,
                        "\(commit.writer) commits \(commit.id), the minimum of \(name) is \(watermark.minimum)")
                }
                if commit.id <= process.memory.confirmed {
                    fail(
                        .committedBelowMinimum,
                        "\(commit.writer) commits \(commit.id), \(name) has confirmed \(process.memory.confirmed)")
                }
            }
            if let promised = promises[commit.writer], commit.id <= promised {
                fail(.brokenPromise, "\(commit.writer) commits \(commit.id), and has promised \(promised)")
            }
        }
    }

    /// A position never goes back in its epoch, and nobody takes for known what a crash can take back.
    mutating func check(_ number: Int) {
        guard processes[number].phase == .up else { return }
        let known = processes[number].memory.tracker.known
        history.add(Int(known.rawValue))
        history.add(Int(processes[number].memory.tracker.minimum.rawValue))
        if known > database.durableSequence {
            fail(
                .knownButNotDurable,
                "\(processes[number].instance) knows \(known), only \(database.durableSequence) is durable")
        }
        guard let own = processes[number].memory.tracker.own, let position = processes[number].memory.tracker.position
        else { return }
        if let last = processes[number].memory.promised, last.writer == own, position < last.position {
            fail(.positionWentBack, "\(own) was at \(last.position) and is at \(position)")
        }
        processes[number].memory.promised = (own, position)
    }

    /// No ID that anybody could have seen is handed out again.
    mutating func checkAllocated(_ ids: [StreamID]) {
        let stream = database.stream
        for id in ids {
            history.add(Int(id.rawValue))
            let isTaken = stream.rows[id] != nil
            let position = stream.writers.values.map(\.position).max() ?? 0
            if isTaken || id <= position {
                fail(.handedOutAgain, "\(id), the highest durable position is \(position)")
            }
        }
    }

    /// The reader got what lies between its old and its new cursor: all of it, in order, once.
    mutating func checkBatch(_ batch: [PersistedEvent], after before: StreamID, through end: StreamID, _ number: Int) {
        let name = processes[number].instance
        if end < before { fail(.cursorWentBack, "the reader of \(name) was at \(before) and is at \(end)") }
        let ids = batch.map(\.streamID)
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

    /// Every event that was acknowledged is where it was said to be.
    mutating func checkAcknowledged() {
        let stream = database.stream
        for (event, id) in acknowledged {
            guard case .event(let row) = stream.rows[id], row.event.id == event else {
                fail(.acknowledgedEventLost, "\(event) was acknowledged at \(id)")
                continue
            }
        }
    }
}
