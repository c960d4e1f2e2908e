import GRDB
import Hummingbird
import Tidemark
import TidemarkSQLite

/// An order as customers send it. Its id makes it safe to send it again.
struct Order: Codable {
    var id: String
    var customer: String
    var cents: Int
}

/// Where an order is in the stream: who gives it back with `?after=` sees what the order has done.
struct Receipt: ResponseEncodable {
    var position: Int64
}

/// What the read model has of a customer.
struct Customer: ResponseEncodable {
    var orders: Int
    var cents: Int
}

/// `POST /orders`, and `GET /customers/ID?after=POSITION`.
func addOrders(to router: Router<BasicRequestContext>, _ log: EventLog, _ store: SQLiteEventStore) {
    router.post("orders") { request, context in
        let order = try await request.decode(as: Order.self, context: context)
        guard order.cents > 0 else { throw HTTPError(.badRequest, message: "an order costs something") }
        let event = try Event(id: order.id, type: "order.placed", key: order.customer, json: order)
        let position = try await answering { try await log.persist(event) }
        return EditedResponse(status: .created, response: Receipt(position: position.rawValue))
    }
    router.get("customers/:id") { request, context in
        let id = try context.parameters.require("id")
        if let position = request.uri.queryParameters.get("after", as: Int64.self) {
            let outcome = try await answering {
                try await log.wait(for: "customers", toPass: StreamID(position), timeout: .seconds(10))
            }
            guard outcome == .reached else { throw HTTPError(.serviceUnavailable, message: "\(outcome)") }
        }
        let customer = try await store.read { db in
            try Row.fetchOne(db, sql: "SELECT orders, cents FROM customers WHERE id = ?", arguments: [id])
                .map { Customer(orders: $0["orders"], cents: $0["cents"]) }
        }
        guard let customer else { throw HTTPError(.notFound) }
        return customer
    }
}

/// An event that cannot be one is the caller's mistake. With all else it may try again.
private func answering<Value>(_ body: () async throws -> Value) async throws -> Value {
    do {
        return try await body()
    } catch let error as TidemarkError {
        guard case .invalidEvent = error else { throw HTTPError(.serviceUnavailable, message: "\(error)") }
        throw HTTPError(.badRequest, message: "\(error)")
    }
}
