#if Dashboard
import Foundation
import HTTPTypes
import Hummingbird
import Logging
import Tidemark

/// How the live page behaves.
public struct DashboardConfiguration: Sendable {
    /// How often the database is looked at while somebody looks at the page; by default twice a second, and less often where
    /// a look takes longer than a fiftieth of it.
    public var interval: Duration = .milliseconds(500)
    /// So many may look at the same time; the next one is told to come back later (503). By default 100.
    public var maximumViewers = 100

    /// The defaults.
    public init() {}
}

/// What the page shows of which streams.
public struct DashboardSource: Sendable {
    private let store: @Sendable () async throws -> any EventStore
    private let streams: @Sendable (any EventStore) async throws -> [StreamName]

    /// - Parameters:
    ///   - store: opened anew perhaps, where it could not be used before; what it throws is shown on the page.
    ///   - streams: those that are shown, at most 20 of them.
    public init(
        store: @escaping @Sendable () async throws -> any EventStore,
        streams: @escaping @Sendable (any EventStore) async throws -> [StreamName]
    ) {
        self.store = store
        self.streams = streams
    }

    /// Streams of a store that is open.
    public init(_ store: any EventStore, streams: [StreamName]) {
        self.init(store: { store }, streams: { _ in streams })
    }

    static let maximumStreams = 20

    /// Never throws: what is wrong is what is to be shown.
    func look(now: Int64 = WallClock.milliseconds()) async -> DashboardLook {
        do {
            let store = try await store()
            var found: [DashboardLook.Stream] = []
            for stream in try await streams(store).prefix(Self.maximumStreams) {
                guard let status = try await store.status(of: stream) else { continue }
                let health = try await store.health(of: stream, now: now)
                let times = health.consumers.map { ($0.name, $0.behindFor) }
                found.append(
                    DashboardLook.Stream(
                        status, problems: health.problems.map(\.description),
                        behindFor: Dictionary(times, uniquingKeysWith: { first, _ in first })))
            }
            return DashboardLook(
                at: now, streams: found,
                problem: found.isEmpty ? "There is no stream yet: no writer has joined." : nil)
        } catch {
            return DashboardLook(at: now, streams: [], problem: "The database cannot be read: \(error)")
        }
    }
}

/// The live page: streams, writers, consumers, and who holds readers back. It only reads.
///
/// ```swift
/// let dashboard = Dashboard(DashboardSource(store, streams: ["orders"]))
/// dashboard.addRoutes(to: router.group("tidemark"))     // behind your own authentication
/// ```
///
/// The page comes with its style and its script, asks for nothing elsewhere, and is kept up to date by server-sent
/// events. Anyone who can reach it sees the names of writers and consumers, and no event.
public final class Dashboard: Sendable {
    private let feed: DashboardFeed

    /// Looks at the database only while somebody looks at the page.
    public init(_ source: DashboardSource, configuration: DashboardConfiguration = DashboardConfiguration()) {
        feed = DashboardFeed(source, configuration)
    }

    /// Adds the page at the path of the routes, and `events`, `page.css` and `page.js` below it.
    public func addRoutes<Context: RequestContext>(to routes: some RouterMethods<Context>) {
        routes.get("") { request, _ in
            // What the page names is beside it.
            guard request.uri.path.hasSuffix("/") else {
                let name = request.uri.path.split(separator: "/").last ?? ""
                return Response.redirect(to: "./\(name)/", type: .temporary)
            }
            return Self.asset(PackageResources.page_html, "text/html; charset=utf-8")
        }
        routes.get("page.css") { _, _ in Self.asset(PackageResources.page_css, "text/css; charset=utf-8") }
        routes.get("page.js") { _, _ in Self.asset(PackageResources.page_js, "text/javascript; charset=utf-8") }
        let feed = feed
        routes.get("events") { _, _ -> Response in
            guard let looks = await feed.addViewer() else {
                throw HTTPError(.serviceUnavailable, headers: [.retryAfter: "10"], message: "too many look at the page")
            }
            var headers = Self.headers("text/event-stream")
            // Proxies are not to collect it.
            headers[HTTPField.Name("X-Accel-Buffering")!] = "no"  // The name is a valid one.
            return Response(
                status: .ok, headers: headers,
                body: ResponseBody(asyncSequence: looks.map { ByteBuffer(string: $0) }))
        }
    }

    private static func asset(_ bytes: [UInt8], _ type: String) -> Response {
        Response(status: .ok, headers: headers(type), body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
    }

    /// Nothing but what is beside the page is loaded, and nobody else shows it in a frame.
    private static func headers(_ type: String) -> HTTPFields {
        [
            .contentType: type, .cacheControl: "no-store", .xContentTypeOptions: "nosniff",
            .contentSecurityPolicy:
                "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; "
                + "form-action 'none'; frame-ancestors 'none'",
        ]
    }
}
#endif
