import Foundation
import TestSupport
import Testing
import Tidemark

/// A process is stopped with the database's write lock: nobody can write, everybody can read.
@Suite(.serialized) struct StoppedTransactionTests {
    let scene: Scene

    init() throws { scene = try Scene() }

    enum End: CaseIterable { case continued, killed }

    @Test(arguments: End.allCases)
    func `others are told who holds the write lock, and all goes on when it is let go of`(end: End) async throws {
        let holder = try await scene.puppet("p1")
        let healthy = try await scene.puppet("p3")
        try await scene.withLog("p2", retirement: .milliseconds(Scene.retirement)) { log in
            holder.write("flood")
            try await eventually("there is something to read") { log.minimumPersistedPosition > 3 }
            // Held over the whole stall: whoever takes a stall for silence closes this one.
            healthy.write("scope late")
            let late = try await healthy.waitForLine("held ")
            let error = try await stopInsideTransaction(holder, log)
            #expect(error.description.contains("instance p1 (process \(holder.processIdentifier)) has held"))

            // Nothing is half done, and readers go on.
            #expect(try await log.event(withID: "refused") == nil)
            let readable = try await log.readable()
            #expect(readable.first == "p1-1" && readable.count >= 3)
            let limit = ContinuousClock.now + .milliseconds(Scene.retirement * 3 / 2)
            while ContinuousClock.now < limit {
                let again = await #expect(throws: TidemarkError.self) {
                    try await log.persist(Event(id: "refused", type: "noted"))
                }
                guard case .writeLockHeld = again else { return }
            }

            switch end {
            case .continued: holder.send(SIGCONT)
            case .killed: try await holder.killAndWait()
            }
            try await persistEventually("refused", log)
            healthy.write("go")
            try await healthy.waitForLine("acknowledged \(late) late")
            for instance in ["p2", "p3"] as [InstanceName] {
                let status = try #require(try await log.status(of: instance))
                #expect(status.isMember && status.writer.epoch == 1 && !status.isClosed)
            }
            if end == .continued { try await holder.killAndWait() }
            let newest = try #require(try await log.store.status(of: stream)?.sequence)
            try await log.waitFor(newest)
            #expect(try await log.readable().filter { !$0.hasPrefix("p1-") }.sorted() == ["late", "refused"])
        }
        try await healthy.end()
    }

    /// Stops it again and again, until others cannot write: it spends most of its time in transactions.
    private func stopInsideTransaction(_ holder: Program, _ log: EventLog) async throws -> TidemarkError {
        for attempt in 0..<500 {
            try await eventually("the holder writes") { try await log.event(withID: "p1-\(attempt + 1)") != nil }
            try await holder.stop()
            do {
                try await log.store.checkWritable()
            } catch let error as TidemarkError {
                guard case .writeLockHeld(_, let name, _) = error else { throw error }
                // On a slow disk a heartbeat of this process has it for as long.
                if name?.contains("process \(holder.processIdentifier)") == true { return error }
            }
            holder.send(SIGCONT)
        }
        throw TookTooLong("stopping the holder inside of a transaction")
    }

    /// A healthy writer's error that may go better.
    private func persistEventually(_ id: String, _ log: EventLog) async throws {
        try await eventually("\(id) is persisted") {
            do {
                try await log.persist(Event(id: id, type: "noted"))
                return true
            } catch TidemarkError.writeLockHeld {
                return false
            }
        }
    }
}
