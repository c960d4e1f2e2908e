import ArgumentParser
import Tidemark

/// A background reader with a place of its own. What it is given it writes down before it moves its checkpoint.
struct ReaderCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "reader", shouldDisplay: false)

    @OptionGroup var participant: Participant
    @Option var consumer: String

    func run() async throws {
        let file = try AppendedFile(path: participant.deliveries(to: consumer))
        let log = try await participant.open()
        let service = Task { try await log.run() }
        let reading = Task {
            let consumer = try await log.consumer(ConsumerName(validating: consumer))
            try file.beginAfterCrash()
            try file.append([Delivery.began(after: consumer.claim.position).line])
            Starter.say("ready")
            for try await batch in consumer.events {
                let events = batch.events.map { Delivery.event(DeliveredEvent($0)).line }
                let newest = batch.snapshot.newestCommit ?? 0
                let end = Delivery.batchEnded(through: batch.through, commitNumber: newest).line
                try file.append(events + [end])
                try await consumer.checkpoint(batch)
                try file.append([Delivery.checkpoint(batch.through).line])
            }
        }
        Task {
            await Starter.ended()
            reading.cancel()
        }
        do { try await reading.value } catch is CancellationError {}
        service.cancel()
        try await service.value
    }
}

extension Participant {
    func deliveries(to consumer: String) -> String { "\(folder)/\(consumer).delivered" }
}
