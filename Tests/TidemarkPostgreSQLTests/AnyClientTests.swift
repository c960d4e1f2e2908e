import Foundation
import TestSupport
import Testing
import Tidemark

@testable import TidemarkPostgreSQL

/// Programs that know nothing of Tidemark commit IDs in transactions of their own.
@Suite(.enabled(if: TestCluster.isAvailable)) struct AnyClientTests {
    static let python = "/usr/bin/python3"

    static let hasPythonClient: Bool = {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: python)
        process.arguments = ["-c", "import psycopg2"]
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return false }
        process.waitUntilExit()
        return process.terminationStatus == 0
    }()

    /// A log whose instance has a name that is hard to quote, and a table of the user's own.
    private func withLog(_ body: (EventLog, PostgreSQLEventStore, PostgresConfiguration) async throws -> Void)
        async throws
    {
        try await withStore { store, configuration in
            try await connecting(configuration) {
                _ = try $0.query("CREATE TABLE letters (id bigint PRIMARY KEY, body text)")
            }
            let log = try await EventLog.open(store, stream: stream, instance: #"o'neil\1"#)
            do {
                try await body(log, store, configuration)
            } catch {
                await log.shutDown()
                throw error
            }
            await log.shutDown()
        }
    }

    private func letters(_ configuration: PostgresConfiguration) async throws -> Int64 {
        try await connecting(configuration) { try $0.query("SELECT count(*) FROM letters").int64(0, 0) }
    }

    @Test func `psql commits an ID together with a row of its own, and a reader finds it at its place`() async throws {
        try await withLog { log, store, configuration in
            try await log.persist(Event(id: "before", type: "t"))
            let id = try await log.withNextID { id in
                let reservation = try log.reservation(for: id)
                let outcome = try await psql(
                    configuration,
                    """
                    SET standard_conforming_strings = off;
                    BEGIN;
                    INSERT INTO letters VALUES (\(id), 'hello');
                    \(reservation.statement);
                    COMMIT;
                    """)
                #expect(outcome.status == 0, "\(outcome.errors)")
                return id
            }
            try await log.persist(Event(id: "after", type: "t"))
            let batch = try #require(try await store.batch())
            #expect(batch.externalEvents.map(\.streamID) == [id])
            #expect(batch.externalEvents[0].instance == log.instance)
            #expect(batch.events.map(\.event.id) == ["before", "after"])
            #expect(try await letters(configuration) == 1)
            #expect(try await store.finished() == [1...3])
        }
    }

    @Test(.enabled(if: AnyClientTests.hasPythonClient))
    func `a program in Python does the same with the arguments that the reservation gives`() async throws {
        try await withLog { log, store, configuration in
            let ids = try await log.withNextIDs(3) { ids in
                let reservation = try log.reservation(for: ids)
                let script = """
                    import sys, psycopg2
                    address, stream, instance, epoch, incarnation, *ids = sys.argv[1:]
                    ids = [int(id) for id in ids]
                    with psycopg2.connect(address) as connection, connection.cursor() as cursor:
                        cursor.execute("INSERT INTO letters SELECT unnest(%s), 'x'", (ids,))
                        cursor.execute("SELECT tidemark.commit_ids_1(%s, %s, %s, %s, %s::bigint[])",
                            (stream, instance, int(epoch), int(incarnation), ids))
                    """
                let program = try Program(
                    executable: URL(fileURLWithPath: Self.python),
                    [
                        "-c", script, configuration.address.text, reservation.stream.rawValue,
                        reservation.writer.instance.rawValue, "\(reservation.writer.epoch)",
                        "\(reservation.incarnation)",
                    ] + reservation.ids.map { "\($0)" })
                let outcome = try await program.outcome()
                #expect(outcome.status == 0, "\(outcome.errors)")
                return ids
            }
            #expect(try await store.batch()?.externalEvents.map(\.streamID) == ids)
            #expect(try await letters(configuration) == 3)
        }
    }

    @Test func `a transaction that is rolled back leaves a tombstone, and no row of either side`() async throws {
        try await withLog { log, store, configuration in
            try await log.withNextID { id in
                let outcome = try await psql(
                    configuration,
                    "BEGIN; INSERT INTO letters VALUES (1, ''); \(try log.reservation(for: id).statement); ROLLBACK;")
                #expect(outcome.status == 0, "\(outcome.errors)")
            }
            #expect(try await store.finished() == [1...1])
            #expect(try await store.batch()?.externalEvents.isEmpty == true)
            #expect(try await letters(configuration) == 0)
        }
    }

    @Test func `whoever gives no IDs is told`() async throws {
        try await withLog { log, store, configuration in
            try await log.withNextID { id in
                let statement = try log.reservation(for: id).statement
                let without = statement.replacing("ARRAY[\(id)]", with: "NULL")
                #expect(without != statement)
                let outcome = try await psql(configuration, "\(without);")
                #expect(outcome.status != 0)
                #expect(outcome.errors.contains("was given no array of IDs"), "\(outcome.errors)")
            }
            #expect(try await store.finished() == [1...1])
        }
    }

    @Test func `a transaction that comes after the end of its scope commits nothing`() async throws {
        try await withLog { log, store, configuration in
            let late = try await log.withNextID { try log.reservation(for: $0) }
            try await expectRefusal(of: late, "was closed", configuration)
            #expect(throws: TidemarkError.closed(stream: stream, instance: log.instance, id: late.ids[0])) {
                try log.reservation(for: late.ids)
            }
            #expect(try await store.finished() == [1...1])
            #expect(throws: TidemarkError.self) { try log.reservation(for: []) }
        }
    }

    @Test func `an ID that was closed, or is of another life of the database, is refused`() async throws {
        try await withLog { log, store, configuration in
            try await log.withNextID { id in
                let reservation = try log.reservation(for: id)
                let other = Reservation(
                    namespace: reservation.namespace, stream: stream, writer: reservation.writer,
                    incarnation: Incarnation(reservation.incarnation.rawValue ^ 1), ids: reservation.ids)
                try await expectRefusal(of: other, "another incarnation", configuration)
                let above = Reservation(
                    namespace: reservation.namespace, stream: stream, writer: reservation.writer,
                    incarnation: reservation.incarnation, ids: [id, StreamID(id.rawValue + 100)])
                try await expectRefusal(of: above, "went backwards", configuration)
                _ = try await store.closeWriter(stream, instance: log.instance)
                try await expectRefusal(of: reservation, "was closed", configuration)
            }
            #expect(try await store.batch()?.externalEvents.isEmpty == true)
        }
    }

    @Test func `a transaction of another isolation level is refused, and said which one it needs`() async throws {
        try await withLog { log, _, configuration in
            try await log.withNextID { id in
                for level in ["REPEATABLE READ", "SERIALIZABLE"] {
                    try await expectRefusal(
                        of: try log.reservation(for: id), "needs read committed", configuration,
                        begin: "BEGIN ISOLATION LEVEL \(level)")
                }
            }
        }
    }

    @Test func `what was refused cannot be committed, even by a client that goes on after the error`() async throws {
        try await withLog { log, store, configuration in
            let late = try await log.withNextID { try log.reservation(for: $0) }
            let outcome = try await psql(
                configuration, "BEGIN; INSERT INTO letters VALUES (1, ''); \(late.statement); COMMIT;", stopping: false)
            #expect(outcome.text.contains("ROLLBACK"))
            #expect(try await letters(configuration) == 0)
            _ = store
        }
    }

    private func expectRefusal(
        of reservation: Reservation, _ problem: String, _ configuration: PostgresConfiguration, begin: String = "BEGIN"
    ) async throws {
        let outcome = try await psql(
            configuration, "\(begin); INSERT INTO letters VALUES (1, ''); \(reservation.statement); COMMIT;")
        #expect(outcome.status == 3)
        #expect(outcome.errors.contains(problem), "\(outcome.errors)")
        #expect(try await letters(configuration) == 0)
    }
}
