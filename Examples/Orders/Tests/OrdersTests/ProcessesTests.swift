import Foundation
import Synchronization
import Testing

/// The example as it runs: two services and a projector, each a process, which are killed and stopped under load.
@Suite(.serialized) struct ProcessesTests {
    private static let customers = 50
    private static let ordersOfEach = 100

    @Test func `nothing is lost and nothing counts twice, whoever is killed, and everyone sees what they wrote`()
        async throws
    {
        let folder = FileManager.default.temporaryDirectory.appending(path: "orders-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let database = folder.appending(path: "orders.db").path
        let ports = try [freePort(), freePort(), freePort()]
        let first = try Instance("service", database: database, port: ports[0], name: "service-1")
        let second = try Instance("service", database: database, port: ports[1], name: "service-2")
        let projector = try Instance("projector", database: database, port: ports[2], name: nil)
        let client = Client(ports: Array(ports[..<2]))
        for port in ports { try await isHealthy(port, client) }

        let placed = Placed()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for customer in 0..<Self.customers {
                group.addTask { try await Self.shop(customer, client, placed) }
            }
            group.addTask {
                // Each in its third of the orders, which go on meanwhile.
                try await waitUntil("a quarter of the orders") { placed.count > 1_250 }
                try await first.killAndStartAgain()
                try await waitUntil("half of the orders") { placed.count > 2_500 }
                #expect(try await second.stopAndStartAgain() == 0)
                try await waitUntil("three quarters of the orders") { placed.count > 3_750 }
                try await projector.killAndStartAgain()
            }
            try await group.waitForAll()
        }

        // All is placed: the read model has each order once. The last one of each customer was waited for.
        #expect(placed.count == Self.customers * Self.ordersOfEach)
        for customer in 0..<Self.customers {
            let model = try await client.customer("c\(customer)", after: 0, at: customer)
            #expect(model == Self.sum(customer, orders: Self.ordersOfEach))
        }
        // An order that is sent again has its place, and counts for nothing.
        let again = Client.Order(id: "c7-3", customer: "c7", cents: Self.cents(7, 3))
        let receipt = try await client.place(again, at: 0)
        #expect(try await client.place(again, at: 1).position == receipt.position)
        #expect(
            try await client.customer("c7", after: receipt.position, at: 1) == Self.sum(7, orders: Self.ordersOfEach))

        for port in ports { try await isHealthy(port, client) }
        let metrics = try await client.call(ports[1], "metrics")
        let lines = String(decoding: metrics.body, as: UTF8.self).split(separator: "\n")
        #expect(lines.contains("# TYPE tidemark_events_persisted counter"))
        let label = "tidemark_events_persisted{instance=\"service-2\",stream=\"orders\"} "
        let count = try #require(lines.first { $0.hasPrefix(label) }.flatMap { Int($0.dropFirst(label.count)) })
        #expect(count > 0 && count < Self.customers * Self.ordersOfEach)
        for instance in [first, second, projector] { #expect(try await instance.stop() == 0) }
    }

    @Test func `bad input is told, with the right status`() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "orders-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let database = folder.appending(path: "orders.db").path
        let port = try freePort()
        let service = try Instance("service", database: database, port: port, name: "service-1")
        let client = Client(ports: [port])
        try await isHealthy(port, client)
        for (body, status) in [
            ("{", 400), ("{\"id\":\"1\",\"customer\":\"c\"}", 400),
            ("{\"id\":\"1\",\"customer\":\"c\",\"cents\":0}", 400),
            ("{\"id\":\"\(String(repeating: "x", count: 300))\",\"customer\":\"c\",\"cents\":1}", 400),
        ] {
            #expect(try await client.call(port, "orders", body: Data(body.utf8)).status == status)
        }
        // Nobody keeps the read model yet: that may come.
        #expect(try await client.call(port, "customers/c?after=1").status == 503)
        #expect(try await service.stop() == 0)

        // A setting that does not fit ends it with a sentence.
        for (variable, problem) in [
            ("TIDEMARK_LOG_SILENCE_TIMEOUT=5", "TIDEMARK_LOG_SILENCE_TIMEOUT"),
            ("TIDEMARK_LOG_SILENCE_TIMEOT=5s", "did you mean TIDEMARK_LOG_SILENCE_TIMEOUT?"),
        ] {
            let wrong = try Instance(
                "service", database: database, port: port, name: "service-1", variables: [variable])
            #expect(try await wrong.status() == 1)
            #expect(wrong.errors.contains(problem), "\(wrong.errors)")
        }
    }

    /// One customer places one order after the other, and looks after each whether it is there: exactly as many as placed.
    private static func shop(_ customer: Int, _ client: Client, _ placed: Placed) async throws {
        for number in 1...ordersOfEach {
            let order = Client.Order(
                id: "c\(customer)-\(number)", customer: "c\(customer)", cents: cents(customer, number))
            let receipt = try await client.place(order, at: customer + number)
            placed.add()
            // At the other service than the one that took it.
            guard number % 5 == 0 else { continue }
            let seen = try await client.customer(
                "c\(customer)", after: receipt.position, at: customer + number + 1)
            #expect(seen == sum(customer, orders: number), "customer \(customer) after order \(number)")
        }
    }

    private static func cents(_ customer: Int, _ number: Int) -> Int { 100 + 7 * customer + number }

    private static func sum(_ customer: Int, orders: Int) -> Client.Customer {
        Client.Customer(orders: orders, cents: (1...orders).map { cents(customer, $0) }.reduce(0, +))
    }

    private func isHealthy(_ port: Int, _ client: Client) async throws {
        try await waitUntil("a healthy process at port \(port)") {
            (try? await client.call(port, "healthz").status) == 200
        }
    }
}

/// How many orders were placed so far.
private final class Placed: Sendable {
    private let number = Atomic(0)
    var count: Int { number.load(ordering: .relaxed) }
    func add() { number.add(1, ordering: .relaxed) }
}
