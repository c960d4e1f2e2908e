import Tidemark

extension StoreConformance {
    static let heartbeatChecks: [StoreCheck] = [
        StoreCheck("a heartbeat raises the position and never lowers it, and is seen") { stores in
            let writer = try await stores.join("p1").writer
            _ = try await stores.store.allocate(5, in: stores.stream, for: writer)
            let before = try await stores.reconcile().observations.first
            try require(try await stores.beat(writer, at: 3), is: .alive(newestCommitted: 0, durablePosition: 3))
            try require(try await stores.beat(writer, at: 2), is: .alive(newestCommitted: 0, durablePosition: 3))
            let after = try await stores.reconcile().observations.first
            try require(after?.position, is: 3)
            try require(before?.heartbeat != after?.heartbeat, "the sign of life is the same as before")
            try require(try await stores.members(), is: [writer: 3])
        },
        StoreCheck("a position above the sequence is refused") { stores in
            let writer = try await stores.join("p1").writer
            try await requireThrows("it went backwards", where: \.saysWentBackwards) {
                _ = try await stores.beat(writer, at: 9)
            }
        },
        StoreCheck("a heartbeat tells the newest row, and what it has promised is refused") { stores in
            let (one, two) = (try await stores.join("p1").writer, try await stores.join("p2").writer)
            try await stores.persist(stores.events("a", "b"), two)
            let id = try await stores.store.allocate(1, in: stores.stream, for: two)
            try require(try await stores.beat(one, at: 2), is: .alive(newestCommitted: 2, durablePosition: 2))
            _ = try await stores.store.abandon(id, in: stores.stream, by: two)
            try require(try await stores.beat(one, at: 1), is: .alive(newestCommitted: 3, durablePosition: 2))
            try await requireThrows(.closed(stream: stores.stream, instance: "p1", id: 2)) {
                _ = try await stores.store.persist(stores.events("c")[0], as: 2, in: stores.stream, by: one)
            }
        },
        StoreCheck("the heartbeats of a process come in one call, and are answered in their order") { stores in
            let one = try await stores.join("p1").writer
            let other = try await stores.store.join("other", as: "p1").writer
            try await stores.store.retire("other", instance: "p1")
            let beats = [
                Heartbeat(stream: "other", writer: other, position: 0),
                Heartbeat(stream: stores.stream, writer: one, position: 0),
            ]
            try require(
                try await stores.store.heartbeat(beats),
                is: [.retired, .alive(newestCommitted: 0, durablePosition: 0)])
            try require(try await stores.store.heartbeat([]), is: [])
        },
        StoreCheck("of heartbeats that come at the same time a wrong one fails its own caller only") { stores in
            var writers: [Writer] = []
            for name in ["p1", "p2", "p3", "p4"] as [InstanceName] {
                writers.append(try await stores.join(name).writer)
            }
            let answered = try await withThrowingTaskGroup(of: Bool.self) { [writers] group in
                for number in 0..<32 {
                    group.addTask {
                        do {
                            return try await stores.beat(writers[number % 4], at: number % 8 == 0 ? 9 : 0) != nil
                        } catch let error as TidemarkError where error.saysWentBackwards {
                            return false
                        }
                    }
                }
                return try await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
            }
            try require(answered, is: 28)
        },
        StoreCheck("what is in flight is there for the status until a later heartbeat") { stores in
            let writer = try await stores.join("p1").writer
            let ids = try await stores.store.allocate(3, in: stores.stream, for: writer)
            let beat = Heartbeat(
                stream: stores.stream, writer: writer, position: 0, inFlight: 3, lowestInFlight: ids[0],
                inFlightMilliseconds: 400)
            _ = try await stores.store.heartbeat([beat])
            let status = try await stores.store.status(of: stores.stream)?.writers.first
            try require(status?.inFlight, is: 3)
            try require(status?.lowestInFlight, is: ids[0])
            try require((status?.inFlightMilliseconds ?? 0) >= 400, "the time in flight has shrunk")
            _ = try await stores.beat(writer, at: 0)
            let later = try await stores.store.status(of: stores.stream)?.writers.first
            try require(later?.inFlight, is: 0)
            try require(later?.inFlightMilliseconds, is: nil)
        },
    ]

    static let closingChecks: [StoreCheck] = [
        StoreCheck("what was allocated before a writer was closed cannot be committed") { stores in
            let writer = try await stores.join("p1").writer
            let ids = try await stores.store.allocate(2, in: stores.stream, for: writer)
            try require(try await stores.store.closeWriter(stores.stream, instance: "p1"), is: 2)
            try await requireThrows(.closed(stream: stores.stream, instance: "p1", id: ids[1])) {
                _ = try await stores.store.persist(stores.events("a")[0], as: ids[1], in: stores.stream, by: writer)
            }
            try require(
                try await stores.persist(stores.events("a"), writer), is: [.persisted(3)])
            try require(try await stores.beat(writer, at: 0), is: .alive(newestCommitted: 3, durablePosition: 2))
        },
        StoreCheck("a writer is closed and retired only as it was observed") { stores in
            let writer = try await stores.join("p1").writer
            _ = try await stores.store.allocate(2, in: stores.stream, for: writer)
            guard let observed = try await stores.reconcile().observations.first else {
                throw ConformanceFailure(description: "the member was not observed")
            }
            _ = try await stores.beat(writer, at: 0)
            try require(try await stores.store.closeWriter(stores.stream, observed: observed), is: nil)
            try require(try await stores.store.retire(stores.stream, observed: observed), is: false)
            guard let now = try await stores.reconcile().observations.first else {
                throw ConformanceFailure(description: "the member was not observed again")
            }
            try require(try await stores.store.closeWriter(stores.stream, observed: now), is: 2)
            // Its position is another one by now.
            try require(try await stores.store.retire(stores.stream, observed: now), is: false)
            guard let closed = try await stores.reconcile().observations.first else {
                throw ConformanceFailure(description: "the closed member was not observed")
            }
            let version = try await stores.reconcile().membership.version
            try require(try await stores.store.retire(stores.stream, observed: closed), is: true)
            let after = try await stores.reconcile()
            try require(after.membership.members, is: [:])
            try require(after.membership.version > version, "retiring left the version at \(version)")
            try require(after.observations, is: [])
            try require(try await stores.store.retire(stores.stream, observed: closed), is: false)
            try await requireThrows(.retired(stream: stores.stream, writer: writer)) {
                try await stores.persist(stores.events("a"), writer)
            }
        },
        StoreCheck("nobody can be closed or retired who never joined") { stores in
            _ = try await stores.join("p1")
            let unknown = TidemarkError.unknownInstance(stream: stores.stream, instance: "p9")
            try await requireThrows(unknown) {
                _ = try await stores.store.closeWriter(stores.stream, instance: "p9")
            }
            try await requireThrows(unknown) { try await stores.store.retire(stores.stream, instance: "p9") }
        },
        StoreCheck("the store says whether it can write") { stores in
            _ = try await stores.join("p1")
            try await stores.store.checkWritable()
        },
        StoreCheck("a store that has closed one writer leaves the others alone") { stores in
            let other = try await stores.join("p2").writer
            _ = try await stores.join("p1")
            let ids = try await stores.store.allocate(1, in: stores.stream, for: other)
            _ = try await stores.store.closeWriter(stores.stream, instance: "p1")
            try require(
                try await stores.store.persist(stores.events("a")[0], as: ids[0], in: stores.stream, by: other),
                is: .persisted(ids[0]))
        },
        StoreCheck("members are observed with their positions, and others are not") { stores in
            let (one, two) = (try await stores.join("p1").writer, try await stores.join("p2").writer)
            _ = try await stores.store.allocate(2, in: stores.stream, for: one)
            _ = try await stores.beat(one, at: 2)
            try await stores.store.leave(stores.stream, as: two)
            let seen = try await stores.reconcile().observations
            try require(seen.map(\.writer), is: [one])
            try require(seen.map(\.position), is: [2])
            try require(seen.map(\.isProcessGone), is: [false])
        },
        StoreCheck(
            "a writer that joined since it was observed is neither closed nor retired, whatever became of its process"
        ) {
            stores in
            let former = try await stores.join("p1").writer
            let observed = try await stores.observation(of: "p1", by: stores.store)
            let heir = try await stores.join("p1").writer
            let ids = try await stores.store.allocate(1, in: stores.stream, for: heir)
            let now = try await stores.observation(of: "p1", by: stores.store)
            let gone = WriterObservation(
                writer: former, heartbeat: now.heartbeat, position: now.position, isProcessGone: true,
                readAt: now.readAt)
            for observed in [observed, gone] {
                try require(try await stores.store.closeWriter(stores.stream, observed: observed), is: nil)
                try require(try await stores.store.retire(stores.stream, observed: observed), is: false)
            }
            try require(
                try await stores.store.persist(stores.events("a")[0], as: ids[0], in: stores.stream, by: heir),
                is: .persisted(ids[0]))
        },
        StoreCheck("of a stream that is not there nothing is closed, and that is said") { stores in
            let stranger = WriterObservation(writer: Writer("p9", epoch: 1), heartbeat: 1, position: 0)
            try await requireThrows("there is no such stream", where: \.isUnknownStream) {
                _ = try await stores.store.closeWriter(stores.stream, instance: "p9")
            }
            try await requireThrows("there is no such stream", where: \.isUnknownStream) {
                try await stores.store.retire(stores.stream, instance: "p9")
            }
            try await requireThrows("there is no such stream", where: \.isUnknownStream) {
                _ = try await stores.store.closeWriter(stores.stream, observed: stranger)
            }
            _ = try await stores.join("p1")
            try await requireThrows(.unknownInstance(stream: stores.stream, instance: "p9")) {
                _ = try await stores.store.retire(stores.stream, observed: stranger)
            }
        },
    ]

    /// What a store tells of processes that have ended.
    static let processEndChecks: [StoreCheck] = [
        StoreCheck("a process that ends takes all its writers with it, and no other's", needs: .endProcess) { stores in
            let ending = try await stores.open()
            for name in ["p1", "p2"] as [InstanceName] { _ = try await ending.join(stores.stream, as: name) }
            _ = try await stores.join("p3")
            func gone() async throws -> [InstanceName] {
                try await stores.reconcile().observations.filter(\.isProcessGone).map(\.writer.instance)
            }
            try require(try await gone(), is: [])
            try await stores.endProcess(ending)
            try await eventually("both are gone") { Set(try await gone()) == ["p1", "p2"] }
        },
        StoreCheck(
            "a writer whose process is gone is closed whatever its heartbeat, and one that lives is not",
            needs: .endProcess
        ) {
            stores in
            let ending = try await stores.open()
            let writer = try await ending.join(stores.stream, as: "p1").writer
            _ = try await ending.allocate(2, in: stores.stream, for: writer)
            let alive = try await stores.observation(of: "p1", by: stores.store)
            let other = WriterObservation(
                writer: writer, heartbeat: alive.heartbeat + 99, position: alive.position, isProcessGone: false,
                readAt: alive.readAt)
            try require(try await stores.store.closeWriter(stores.stream, observed: other), is: nil)
            try await stores.endProcess(ending)
            try await eventually("it is gone") {
                try await stores.observation(of: "p1", by: stores.store).isProcessGone
            }
            let seen = try await stores.observation(of: "p1", by: stores.store)
            let late = WriterObservation(
                writer: writer, heartbeat: seen.heartbeat + 99, position: seen.position, isProcessGone: true)
            try require(try await stores.store.closeWriter(stores.stream, observed: late), is: 2)
            // Its position is another one by now.
            try require(try await stores.store.closeWriter(stores.stream, observed: late), is: nil)
            let closed = try await stores.observation(of: "p1", by: stores.store)
            try require(closed.isProcessGone, "it is there again")
            try require(try await stores.store.retire(stores.stream, observed: closed), is: true)
        },
        StoreCheck("whoever takes the name of a writer whose process is gone is not gone", needs: .endProcess) {
            stores in
            let ending = try await stores.open()
            _ = try await ending.join(stores.stream, as: "p1")
            try await stores.endProcess(ending)
            try await eventually("it is gone") {
                try await stores.observation(of: "p1", by: stores.store).isProcessGone
            }
            let observed = try await stores.observation(of: "p1", by: stores.store)
            let heir = try await stores.join("p1").writer
            try require(try await stores.observation(of: "p1", by: stores.store).isProcessGone, is: false)
            try require(try await stores.store.closeWriter(stores.stream, observed: observed), is: nil)
            try require(try await stores.store.retire(stores.stream, observed: observed), is: false)
            try require(try await stores.persist(stores.events("a"), heir), is: [.persisted(1)])
        },
        StoreCheck("a consumer is free when the process that had it has ended", needs: .endProcess) { stores in
            let ending = try await stores.open()
            _ = try await ending.claimConsumer("mailer", in: stores.stream)
            func isInUse() async throws -> Bool? {
                let status = try await stores.store.status(of: stores.stream)
                return status?.consumers.first?.isInUse
            }
            try require(try await isInUse(), is: true)
            func isRefusal(_ error: TidemarkError) -> Bool {
                if case .consumerInUse(stores.stream, "mailer", _) = error { true } else { false }
            }
            try await requireThrows("it is in use", where: isRefusal) {
                _ = try await stores.store.claimConsumer("mailer", in: stores.stream, takingOver: false)
            }
            try await stores.endProcess(ending)
            try await eventually("it is free") { try await isInUse() == false }
            _ = try await stores.store.claimConsumer("mailer", in: stores.stream, takingOver: false)
        },
        StoreCheck("partitions are free when the process that had them has ended", needs: .endProcess) { stores in
            // A store need not keep processors.
            guard let ending = try await stores.open() as? any ProcessorStore,
                let store = stores.store as? any ProcessorStore
            else { return }
            let name = ProcessorName("worker", of: stores.stream)
            let (first, second) = (ProcessorProcess(7), ProcessorProcess(8))
            _ = try await ending.claimConsumer("worker", in: stores.stream)
            try await ending.openProcessor(name, filter: .all, partitions: 1)
            let look = try await ending.beat(ProcessorBeat(process: first), of: name)
            let free = PartitionObservation(
                partition: 0, claim: look.partitions[0].claim, owner: nil, heartbeat: nil)
            try require(try await ending.claimPartitions([free], of: name, by: first).count, is: 1)
            let alive = try await store.beat(ProcessorBeat(process: second), of: name)
            try require(alive.processes.map(\.isGone), is: [false, false])
            let observed = PartitionObservation(
                partition: 0, claim: alive.partitions[0].claim, owner: first, heartbeat: nil)
            try require(try await store.claimPartitions([observed], of: name, by: second).count, is: 0)
            try await store.leaveProcessor(name, process: second)
            try require(try await store.status(of: stores.stream)?.consumers.map(\.isInUse), is: [true])
            func isRefusal(_ error: TidemarkError) -> Bool {
                if case .consumerInUse(stores.stream, "worker", _) = error { true } else { false }
            }
            try await requireThrows("a process runs it", where: isRefusal) {
                try await store.deleteConsumer("worker", in: stores.stream, takingOver: false)
            }
            try await stores.endProcess(ending)
            try await eventually("nobody runs it") {
                try await store.status(of: stores.stream)?.consumers.map(\.isInUse) == [false]
            }
            try await eventually("the first process is gone") {
                let seen = try await store.beat(ProcessorBeat(process: second), of: name)
                return seen.processes.filter(\.isGone).map(\.process) == [first]
            }
            try require(try await store.claimPartitions([observed], of: name, by: second).count, is: 1)
            try await store.leaveProcessor(name, process: second)
            try await store.deleteConsumer("worker", in: stores.stream, takingOver: false)
        },
    ]
}
