import Tidemark

extension InMemoryEventStore: ProcessorStore {
    /// A process that runs a processor is gone.
    public func endProcess(_ process: ProcessorProcess, of processor: ProcessorName) {
        change { $0.endProcess(process, of: processor) }
    }

    public func openProcessor(_ processor: ProcessorName, filter: EventFilter, partitions: Int) async throws {
        try await run(.openProcessor) { try $0.openProcessor(processor, filter: filter, partitions: partitions) }
    }

    public func beat(_ beat: ProcessorBeat, of processor: ProcessorName) async throws -> ProcessorLook {
        let look = try await run(.beat(beat.process)) { try $0.beat(beat, of: processor) }
        holds(processor, beat.process)
        return look
    }

    public func claimPartitions(
        _ observed: [PartitionObservation], of processor: ProcessorName, by process: ProcessorProcess
    ) async throws -> [ProcessorMachine.Claimed] {
        try await run(.claimPartitions(process)) { try $0.claimPartitions(observed, of: processor, by: process) }
    }

    public func checkpoint(
        _ checkpoints: [ProcessorMachine.Checkpoint], of processor: ProcessorName
    ) async throws -> [Bool] {
        try await run(.checkpointPartitions) { database in
            let answers = try database.checkpoint(checkpoints, of: processor)
            database.moveConsumer(of: processor)
            return answers
        }
    }

    public func countStarts(
        _ counts: [ProcessorMachine.Count], of processor: ProcessorName
    ) async throws -> [[StreamID: Int]?] {
        try await run(.countStarts) { try $0.countStarts(counts, of: processor) }
    }

    public func leaveProcessor(_ processor: ProcessorName, process: ProcessorProcess) async throws {
        try await run(.leaveProcessor(process)) { try $0.leaveProcessor(processor, process: process) }
    }

    public func takeRetries(
        partition: Int, claim: Int, of processor: ProcessorName, limit: Int
    ) async throws -> [ParkedEvent] {
        try await run(.parked) { try $0.takeRetries(partition: partition, claim: claim, of: processor, limit: limit) }
    }

    public func endRetries(_ endings: [ProcessorMachine.LateEnding], of processor: ProcessorName) async throws {
        try await run(.parked) { try $0.endRetries(endings, of: processor) }
    }

    public func parkedIDs(partition: Int, of processor: ProcessorName) async throws -> [StreamID] {
        try await run(.parked) { try $0.parkedIDs(partition: partition, of: processor) }
    }

    public func parkedEvents(
        of processor: ProcessorName, after id: StreamID, limit: Int
    ) async throws -> [ParkedEvent] {
        try await run(.parked) { try $0.parkedEvents(of: processor, after: id, limit: limit) }
    }

    public func retryParked(_ ids: [StreamID]?, of processor: ProcessorName) async throws -> Int {
        try await run(.parked) { try $0.retryParked(ids, of: processor) }
    }

    public func dropParked(_ ids: [StreamID]?, of processor: ProcessorName) async throws -> Int {
        try await run(.parked) { try $0.dropParked(ids, of: processor) }
    }
}
