import GRDB
import ServiceLifecycle
import Tidemark
import TidemarkSQLite

/// Keeps the table `customers` from the stream, exactly once: what a batch does to it and the checkpoint are one transaction.
struct Projector: Service {
    let log: EventLog
    let store: SQLiteEventStore

    func run() async throws {
        try await store.write { db in
            try db.execute(
                sql: """
                    CREATE TABLE IF NOT EXISTS customers (
                        id TEXT PRIMARY KEY, orders INTEGER NOT NULL, cents INTEGER NOT NULL)
                    """)
        }
        let consumer = try await log.consumer("customers", filter: .types(["order.placed"]))
        for try await batch in consumer.events.cancelOnGracefulShutdown() {
            try await store.write { db in
                for event in batch.events {
                    let order = try event.decoded(as: Order.self)
                    try db.execute(
                        sql: """
                            INSERT INTO customers VALUES (?1, 1, ?2)
                            ON CONFLICT (id) DO UPDATE SET orders = orders + 1, cents = cents + excluded.cents
                            """, arguments: [order.customer, order.cents])
                }
                try consumer.checkpoint(batch, in: db)
            }
        }
    }
}
