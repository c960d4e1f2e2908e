import ArgumentParser
import Foundation
import GRDB
import Synchronization
import TestSupport
import Tidemark
import TidemarkSQLite

/// A process that runs two processors: one whose handler writes down when it begins and ends, and one that counts each event in
/// a table, in the transaction that passes it.
struct ProcessorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "processor", shouldDisplay: false)

    static let partitions = 16
    static let silence = Duration.seconds(2)
    static let noting: ConsumerName = "noting"
    static let counting: ConsumerName = "counting"

    @OptionGroup var participant: Participant
    @Option var name: String
    @Option(help: "Which process of this name it is.") var number: Int

    func run() async throws {
        let log: EventLog
        let store = participant.server == nil ? try await SQLiteEventStore.open(path: participant.database) : nil
        if let store {
            log = try await EventLog.open(store, stream: Participant.stream)
            try await store.write { db in
                try db.execute(sql: "CREATE TABLE IF NOT EXISTS counted (stream_id INTEGER NOT NULL)")
            }
        } else {
            log = try await participant.open()
        }
        let notes = try AppendedFile(path: participant.notes(of: name))
        try notes.beginAfterCrash()
        var configuration = ProcessorConfiguration(concurrency: 8, partitions: Self.partitions)
        configuration.silenceTimeout = Self.silence
        let process = "\(name)-\(number)"
        let noting = log.processor(Self.noting, configuration: configuration) { event in
            guard let context = HandlingContext.current else { throw Failure("a handler has no context") }
            let what = "\(event.streamID) \(event.event.key ?? "-") \(context.claim) \(process)"
            try notes.append(["begin \(MonotonicTime.now) \(what)"])
            // A handler's work: kills and stops are to find some under way.
            try await Task.sleep(for: .milliseconds(Int.random(in: 0...3)))
            try notes.append(["end \(MonotonicTime.now) \(what)"])
        }
        var all = [noting]
        if store != nil {
            all.append(
                log.processor(
                    Self.counting, configuration: configuration,
                    handleInTransaction: { event, db in
                        try db.execute(
                            sql: "INSERT INTO counted (stream_id) VALUES (?)", arguments: [event.streamID.rawValue])
                    }))
        }
        Starter.say("ready")
        await withTaskGroup { group in
            let running = Task { try await log.run() }
            let processors = all.map { processor in Task { try await processor.run() } }
            // What ends by itself ends the process, which the supervisor notices.
            for task in processors + [running] {
                group.addTask {
                    do { try await task.value } catch {
                        FileHandle.standardError.write(Data("\(error)\n".utf8))
                        Foundation.exit(70)
                    }
                }
            }
            await Starter.ended()
            for processor in processors { processor.cancel() }
            for processor in processors { _ = await processor.result }
            await log.shutDown()
            running.cancel()
        }
        await store?.close()
    }
}

extension Participant {
    /// What the processes run. In a file one counts in the same transaction.
    var consumers: [ConsumerName] {
        server == nil ? [ProcessorCommand.noting, ProcessorCommand.counting] : [ProcessorCommand.noting]
    }

    func notes(of processor: String) -> String { "\(folder)/\(processor).notes" }
}
