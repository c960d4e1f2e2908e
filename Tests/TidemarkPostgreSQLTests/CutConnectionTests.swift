import Synchronization
import TestSupport
import Testing
import Tidemark

@testable import TidemarkPostgreSQL

/// A connection that is cut before, in and after a commit: the client hears the same each time, and something else is true.
@Suite(.enabled(if: TestCluster.isAvailable)) struct CutConnectionTests {
    /// Runs `body` with a proxy before the server, a database that is reached through it, and the same one without it.
    private func withProxy(
        _ body: (CuttingProxy, _ through: PostgresConfiguration, _ direct: PostgresConfiguration) async throws -> Void
    ) async throws {
        let direct = try await TestCluster.newDatabase()
        let port = try #require(direct.address.parameters["port"].flatMap { Int($0) })
        let proxy = try CuttingProxy(to: port)
        defer { proxy.close() }
        let parameters = direct.address.parameters.merging(["host": "127.0.0.1", "port": "\(proxy.port)"]) { $1 }
        var through = try PostgresConfiguration(parameters.map { "\($0)='\($1)'" }.joined(separator: " "))
        // What is cut is a call, and not the sign of life.
        through.directAddress = direct.address
        try await body(proxy, through, direct)
    }

    @Test(arguments: CuttingProxy.Place.allCases)
    func `a group whose connection is cut is acknowledged once, and its events are there once`(
        _ place: CuttingProxy.Place
    ) async throws {
        try await withProxy { proxy, through, _ in
            try await withStore(at: through) { store in
                try await withLog(store, as: "p1") { log in
                    #expect(try await log.persist(Event(id: "first", type: "t")) == 1)
                    proxy.cut(place, at: "persist_1")
                    let id = try await log.persist(Event(id: "cut", type: "t"))
                    #expect(proxy.hasCut)
                    // A request that is on its way for so long is refused by the fence, or it would commit an event a second time.
                    proxy.releaseRequest()
                    if place == .inRequest {
                        try await eventually("the server answers the late request") { !proxy.unheard.isEmpty }
                        #expect(proxy.unheard.contains("TM006"), "\(proxy.unheard)")
                    }
                    #expect(try await log.event(withID: "cut")?.streamID == id)
                    let last = try await log.persist(Event(id: "last", type: "t"))
                    #expect(try await store.all() == [1, id, last])
                    #expect(try await log.waitUntilPersisted(last, timeout: .seconds(20)) == .reached)
                }
            }
        }
    }

    @Test(arguments: CuttingProxy.Place.allCases)
    func `an event under an ID of a scope is there, or the ID has a tombstone, however its connection was cut`(
        _ place: CuttingProxy.Place
    ) async throws {
        try await withProxy { proxy, through, _ in
            try await withStore(at: through) { store in
                try await withLog(store, as: "p1") { log in
                    proxy.cut(place, at: "persist_as_1")
                    let given = Mutex<StreamID>(0)
                    await #expect(throws: (any Error).self) {
                        try await log.withNextID { id in
                            given.withLock { $0 = id }
                            try await log.persist(Event(id: "cut", type: "t"), as: id)
                        }
                    }
                    let id = given.withLock { $0 }
                    proxy.releaseRequest()
                    if place == .inRequest {
                        try await eventually("the server answers the late request") { !proxy.unheard.isEmpty }
                        #expect(proxy.unheard.contains("TM007"), "\(proxy.unheard)")
                    }
                    #expect(try await store.all() == (place == .afterAnswer ? [id] : []))
                    #expect(try await store.finished() == [1...1])
                    #expect(try await log.waitUntilPersisted(id, timeout: .seconds(20)) == .reached)
                }
            }
        }
    }

    @Test(arguments: CuttingProxy.Place.allCases)
    func `the plain way looks whether its row is there, and has it twice where the request was only late`(
        _ place: CuttingProxy.Place
    ) async throws {
        try await withProxy { proxy, through, direct in
            try await connecting(direct) { _ = try $0.query("CREATE TABLE plain (id bigserial, name text)") }
            let insert = "INSERT INTO plain (name) VALUES ('cut') RETURNING id"
            proxy.cut(place, at: "INSERT INTO plain")
            await #expect(throws: PostgresError.self) { try await connecting(through) { _ = try $0.query(insert) } }
            try await eventually("it is cut") { proxy.hasCut }
            func found() async throws -> Int64 {
                try await connecting(direct) { try $0.query("SELECT count(*) FROM plain").int64(0, 0) }
            }
            // It was told the same each time, and what it finds decides: try again, or not.
            if place == .afterAnswer {
                #expect(try await found() == 1)
                return
            }
            #expect(try await found() == 0)
            #expect(try await connecting(through) { try $0.query(insert).count } == 1)
            proxy.releaseRequest()
            // Whoever settles nothing has it twice where the request was only late.
            if place == .inRequest {
                try await eventually("the late request was read") { !proxy.unheard.isEmpty }
                #expect(try await found() == 2)
            }
        }
    }

    @Test func `the server is started again, and the writer goes on in its epoch`() async throws {
        let cluster = try await TestCluster()
        let configuration = try await cluster.newDatabase("again")
        try await withStore(at: configuration) { store in
            try await withLog(store, as: "p1") { log in
                let before = try await log.persist(Event(id: "before", type: "t"))
                let writer = log.writer
                try await cluster.run("pg_ctl", "-D", "d", "-m", "fast", "-w", "-l", "log", "restart")
                let after = try await log.persist(Event(id: "after", type: "t"))
                #expect(log.writer == writer)
                #expect(after > before)
                #expect(try await store.all() == [before, after])
            }
        }
    }

    @Test func `a server that is too old is refused, and said which one it takes`() async throws {
        try await withProxy { proxy, through, direct in
            let version = try await connecting(direct) { try $0.query("SHOW server_version").text(0, 0) }
            let old = "9.6" + String(repeating: "0", count: max(0, version.utf8.count - 3))
            proxy.replace("server_version\0\(version)", with: "server_version\0\(old)")
            var alone = through
            alone.directAddress = nil
            let error = await #expect(throws: TidemarkError.self) { try await PostgreSQLEventStore.open(alone) }
            guard case .storeUnavailable(_, let problem) = error else {
                Issue.record("\(String(describing: error))")
                return
            }
            #expect(problem.contains("use 13 or later"), "\(problem)")
        }
    }
}
