import Configuration
import Foundation
import Hummingbird
import Logging
import Metrics
import PrometheusText
import ServiceLifecycle
import Tidemark
import TidemarkReplication
import TidemarkSQLite
import UnixSignals

/// `Orders service` takes orders, `Orders projector` keeps the read model. All else is configuration: `TIDEMARK_…`, `HTTP_HOST` and
/// `HTTP_PORT` in the environment.
@main
enum Main {
    static func main() async {
        do {
            try await run(CommandLine.arguments.last ?? "")
        } catch {
            FileHandle.standardError.write(Data("orders: \(error)\n".utf8))
            exit(1)
        }
    }

    static func run(_ role: String) async throws {
        let environment = ProcessInfo.processInfo.environment
        try ConfigurationKey.check(environment.keys)
        let config = ConfigReader(provider: EnvironmentVariablesProvider())
        let tidemark = config.scoped(to: "tidemark")
        let metrics = PrometheusText()
        MetricsSystem.bootstrap(metrics)
        let logger = Logger(label: "orders")

        let store = try await SQLiteEventStore.open(reading: tidemark)
        let log = try await EventLog.open(
            store, reading: tidemark,
            transport: SocketTransports.transport(reading: tidemark, besideDatabase: store.path), logger: logger)
        let router = Router()
        router.get("healthz") { _, _ in
            let health = await log.health()
            return EditedResponse(status: health.isHealthy ? .ok : .serviceUnavailable, response: "\(health)\n")
        }
        router.get("metrics") { _, _ in metrics.text }
        let web = ApplicationConfiguration(reader: config.scoped(to: "http"))
        // The log first: services are shut down from the last to the first, so that it leaves when nobody needs it any more.
        var services: [any Service] = [log]
        if role == "service" {
            addOrders(to: router, log, store)
        } else {
            services.append(Projector(log: log, store: store))
        }
        services.append(Application(router: router, configuration: web, logger: logger))
        try await ServiceGroup(services: services, gracefulShutdownSignals: [.sigterm, .sigint], logger: logger).run()
        await store.close()
    }
}
