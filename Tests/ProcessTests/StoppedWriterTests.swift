import Foundation
import GRDB
import TestSupport
import Testing
import Tidemark

/// Writers in processes of their own that are stopped in the middle of what they do.
@Suite(.serialized) struct StoppedWriterTests {
    let scene: Scene

    init() throws { scene = try Scene() }

    @Test func `a writer that is stopped between its allocation and its commit is passed, and may try again`()
        async throws
    {
        let slow = try await scene.puppet("p1")
        try await scene.withLog("p2") { log in
            slow.write("scope late")
            #expect(try await slow.waitForLine("held ") == "1")
            try await slow.stop()
            let id = try await log.persist(Event(id: "a", type: "noted"))
            #expect(log.minimumPersistedPosition < 1)
            try await log.waitFor(id)
            #expect(try await log.status(of: "p1")?.isClosed == true)
            #expect(try await log.readable() == ["a"])
            slow.send(SIGCONT)
            slow.write("go")
            #expect(try await slow.waitForLine("refused late: ") == "closed 1")
            // What its caller does then.
            slow.write("scope late")
            let again = try await slow.waitForLine("held 3")
            #expect(again.isEmpty)
            slow.write("go")
            try await slow.waitForLine("acknowledged 3 late")
            try await log.waitFor(3)
            #expect(try await log.readable() == ["a", "late"])
        }
        try await slow.end()
    }

    /// It is retired in the meantime: on SQLite nothing less makes the database refuse a group.
    @Test func `the groups of a writer that was stopped and retired are tried again, and acknowledged once`()
        async throws
    {
        let slow = try await scene.puppet("p1")
        try await scene.withLog("p2", retirement: .seconds(3)) { log in
            // While this has the write lock nothing is committed.
            var configuration = Configuration()
            configuration.allowsUnsafeTransactions = true
            let lock = try DatabaseQueue(path: scene.folder.database, configuration: configuration)
            try await lock.writeWithoutTransaction { try $0.execute(sql: "BEGIN IMMEDIATE") }
            slow.write("persist a b")
            slow.write("persist c")
            slow.write("persist d")
            try await slow.stop()
            try await lock.writeWithoutTransaction { try $0.execute(sql: "ROLLBACK") }
            try await eventually("the writer that was stopped is retired") {
                try await log.status(of: "p1")?.isMember == false
            }
            let id = try await log.persist(Event(id: "e", type: "noted"))
            try await log.waitFor(id)
            slow.send(SIGCONT)
            for event in ["a", "b", "c", "d"] {
                try await eventually("\(event) is acknowledged") {
                    slow.lines.contains { $0.hasPrefix("acknowledged") && $0.hasSuffix(" \(event)") }
                }
            }
            try await log.waitFor(5)
            #expect(try await log.readable().sorted() == ["a", "b", "c", "d", "e"])
            #expect(try await log.status(of: "p1")?.writer.epoch == 3)
        }
        try await slow.end()
        #expect(slow.lines.count { $0.hasPrefix("acknowledged") } == 4)
        #expect(!slow.lines.contains { $0.hasPrefix("refused") })
    }
}
