import ArgumentParser
import Synchronization
import Tidemark

/// The background reader's process.
struct ReaderCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "reader", shouldDisplay: false)

    @OptionGroup var participant: Participant

    private final class Arrivals: Sendable {
        let all = Mutex<[Arrival]>([])
    }

    func run() async throws {
        let log = try await participant.open(as: nil)
        // In every mode it knows who has joined; in the first two that is all it is ever told.
        try await log.reconcile()
        let service = Task {
            do { try await log.run() } catch { Participant.fail(error) }
        }
        let arrivals = Arrivals()
        let reading = Task {
            do {
                for try await batch in log.events() {
                    let now = MonotonicTime.now
                    let new = batch.events.map {
                        Arrival(id: $0.event.id, streamID: $0.streamID.rawValue, time: now)
                    }
                    arrivals.all.withLock { $0 += new }
                }
            } catch {
                if !Task.isCancelled { Participant.fail(error) }
            }
        }
        Participant.say(["ready"])
        for await command in Participant.commands {
            switch command[0] {
            case "count":
                Participant.say(["\(arrivals.all.withLock { $0.count })", "done"])
            case "arrivals":
                Participant.say(arrivals.all.withLock { $0 }.map(\.line))
                Participant.say(["done"])
            case "above":
                let id = Int64(command[1]) ?? 0
                let first = arrivals.all.withLock { all in all.first { $0.streamID > id } }
                Participant.say([first?.line, "done"].compactMap { $0 })
            default:
                throw Failure("a reader does not know \(command[0])")
            }
        }
        reading.cancel()
        service.cancel()
        await service.value
    }
}
