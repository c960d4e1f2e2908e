import DequeModule

extension RowFeed {
    /// What was sent before was not for this connection: the source has to be asked.
    public mutating func connected() {
        isConnected = true
        hasToldCaughtUp = false
        needsPositions = true
        lastRequest += 1
        for writer in writers.keys { writers[writer]?.isOpen = false }
        counts.discardedBatches += batches.removeAll()
    }

    public mutating func disconnected() {
        isConnected = false
    }

    public mutating func received(_ position: ReplicationPosition) {
        let writer = position.writer
        guard isHeard(writer, { $0.position = position }), var heard = writers[writer] else { return }
        heard.isOpen = true
        writers[writer] = heard
        let known = max(heard.done, heard.queued)
        guard max(position.previous, position.new) > known else {
            counts.oldNews += 1
            return
        }
        enqueue(.position(position))
    }

    public mutating func received(_ row: ReplicationRow) {
        let isHeard = isHeard(row.writer) { said in
            if case .id(let id) = row.token { said.highestRow = max(said.highestRow ?? id, id) }
        }
        guard isHeard, let heard = writers[row.writer] else { return }
        guard heard.isOpen else {
            counts.unopened += 1
            return
        }
        switch (batches.add(row), row.token) {
        case (.complete(let rows), .id(let id)):
            guard id > heard.done else {
                counts.oldNews += 1
                return
            }
            enqueue(.update(StreamUpdate(writer: row.writer, token: id, rows: rows)))
        case (.incompleteID, .id(let id)):
            counts.discardedBatches += 1
            want(row.writer, through: id)
        default:
            break
        }
    }

    private mutating func isHeard(_ writer: Writer, _ remember: (inout Strangers<Writer>.Said) -> Void) -> Bool {
        if writer.instance == own {
            counts.own += 1
            return false
        }
        if writers[writer] != nil {
            if hearing == .everyone { writers[writer]?.spokeLately = true }
            return true
        }
        if hasEpochs(writer), let epoch = epochs[writer.instance], epoch > writer.epoch {
            counts.outdated += 1
            return false
        }
        if hearing == .everyone, !named.contains(writer.instance) {
            welcome(writer)
            return true
        }
        lastRequest += 1
        if strangers.heard(writer, request: lastRequest, remember) {
            counts.strangers += 1
            needsPositions = true
        } else {
            counts.outdated += 1
        }
        return false
    }

    /// Whether its epoch stands for a place in an order. Of software that has no epochs nobody can say that it is
    /// outdated, whatever else is said under its name.
    private func hasEpochs(_ writer: Writer) -> Bool { hearing == .members || writer.epoch > 0 }

    private mutating func welcome(_ writer: Writer) {
        let isNewName = !hasEpochs(writer) || epochs[writer.instance] == nil
        if isNewName, writers.count >= limits.writers + named.count { forgetSomebody() }
        add(writer)
        if unnamed.count > 2 * limits.writers { removeGoneFromUnnamed() }
        unnamed.append(writer)
    }

    /// Forgets who has spoken least lately, as pages are chosen by "second chance": names that are said once make room for
    /// each other, and not for themselves the place of those who go on.
    private mutating func forgetSomebody() {
        while let writer = unnamed.popFirst() {
            guard let heard = writers[writer], !named.contains(writer.instance) else { continue }
            if heard.spokeLately {
                writers[writer]?.spokeLately = false
                unnamed.append(writer)
            } else {
                forget(writer)
                counts.forgottenWriters += 1
                return
            }
        }
    }

    private mutating func removeGoneFromUnnamed() {
        var found: Set<Writer> = []
        unnamed = unnamed.filter { writers[$0] != nil && found.insert($0).inserted }
    }

    /// A new epoch of a name goes on where the one before was.
    mutating func add(_ writer: Writer) {
        var added = HeardWriter(done: 0)
        if hasEpochs(writer) {
            if let epoch = epochs[writer.instance], let before = forget(Writer(writer.instance, epoch: epoch)) {
                added = HeardWriter(done: before.done)
                added.rows = before.rows
                added.agreed = before.agreed
            }
            epochs[writer.instance] = writer.epoch
        }
        writers[writer] = added
    }

    /// What still waits of it is dropped when its turn comes.
    @discardableResult
    mutating func forget(_ writer: Writer) -> HeardWriter? {
        if batches.remove(of: writer) { counts.discardedBatches += 1 }
        if epochs[writer.instance] == writer.epoch { epochs[writer.instance] = nil }
        catchUps[writer] = nil
        return writers.removeValue(forKey: writer)
    }

    private mutating func enqueue(_ item: Item) {
        queue.append(item)
        queuedBytes += item.size
        let highest = writers[item.writer]?.queued ?? 0
        writers[item.writer]?.queued = max(highest, item.highest)
        guard queue.count > limits.queuedUpdates || queuedBytes > limits.queuedBytes else { return }
        counts.overflows += 1
        counts.droppedFromQueue += queue.count
        for item in queue { want(item.writer, through: item.highest) }
        queue.removeAll()
        queuedBytes = 0
    }

    /// What the source has of this writer up to there is to be fetched.
    mutating func want(_ writer: Writer, through token: StreamID) {
        guard let heard = writers[writer], token > heard.done else { return }
        if let wanted = catchUps[writer] {
            catchUps[writer] = max(wanted, token)
        } else {
            catchUps[writer] = token
            waitingCatchUps.append(writer)
            // Writers that were forgotten are still in it.
            if waitingCatchUps.count > 2 * catchUps.count + 64 {
                var found: Set<Writer> = []
                waitingCatchUps = waitingCatchUps.filter { catchUps[$0] != nil && found.insert($0).inserted }
            }
        }
        // It will be fetched whole.
        if batches.discard(of: writer) { counts.discardedBatches += 1 }
    }
}
