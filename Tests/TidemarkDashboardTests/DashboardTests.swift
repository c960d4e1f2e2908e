#if Dashboard
import Foundation
import Hummingbird
import HummingbirdTesting
import Testing
import Tidemark
import TidemarkTesting

@testable import TidemarkDashboard

@Suite struct DashboardTests {
    private func router(
        _ source: DashboardSource, _ configuration: DashboardConfiguration = .init(), at path: RouterPath = ""
    ) -> Router<BasicRequestContext> {
        let router = Router()
        Dashboard(source, configuration: configuration).addRoutes(to: router.group(path))
        return router
    }

    private func store() async throws -> any EventStore {
        let store = InMemoryEventStore()
        let writer = try await store.join("orders", as: "p1").writer
        _ = try await store.persist([Event(id: "a", type: "placed", payload: [])], in: "orders", by: writer)
        return store
    }

    @Test func `the page loads nothing from elsewhere, and nobody frames it`() async throws {
        let source = DashboardSource(try await store(), streams: ["orders"])
        try await Application(router: router(source)).test(.router) { client in
            for (path, type) in [("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")] {
                try await client.execute(uri: path, method: .get) { response in
                    #expect(response.status == .ok)
                    #expect(response.headers[.contentType]?.hasPrefix(type) == true)
                    let policy = response.headers[.contentSecurityPolicy] ?? ""
                    #expect(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"))
                    let text = String(buffer: response.body)
                    #expect(!text.isEmpty && !text.contains("innerHTML"))
                    // But for the names of SVG elements.
                    #expect(!text.replacing("http://www.w3.org/2000/svg", with: "").contains("http"))
                }
            }
        }
    }

    @Test func `below a path of its own it is found without the slash too`() async throws {
        let source = DashboardSource(try await store(), streams: ["orders"])
        try await Application(router: router(source, at: "admin/tidemark")).test(.router) { client in
            try await client.execute(uri: "/admin/tidemark", method: .get) { response in
                #expect(response.status == .temporaryRedirect && response.headers[.location] == "./tidemark/")
            }
            try await client.execute(uri: "/admin/tidemark/", method: .get) { #expect($0.status == .ok) }
            try await client.execute(uri: "/admin/tidemark/page.js", method: .get) { #expect($0.status == .ok) }
        }
    }

    @Test func `what is shown is what the database says`() async throws {
        let look = await DashboardSource(try await store(), streams: ["orders", "nobody"]).look()
        #expect(look.problem == nil && look.streams.map(\.name) == ["orders"])
        let stream = try #require(look.streams.first)
        #expect(stream.newest == 1 && stream.minimum == 1 && stream.holder == nil)
        #expect(stream.writers.map(\.name) == ["p1"] && stream.writers[0].state == "active")
    }

    @Test func `what consumers have parked is on the page`() {
        let status = StreamStatus(
            stream: "orders", sequence: 1, newestEvent: 1, minimumPersisted: 1, writers: [],
            consumers: [.init(name: "mailer", position: 1, parked: 3), .init(name: "plain", position: 1)])
        #expect(DashboardLook.Stream(status).consumers.map(\.parked) == [3, 0])
    }

    @Test func `a database that cannot be read is a sentence on the page`() async {
        let source = DashboardSource(
            store: { throw TidemarkError.storeUnavailable(store: "events.db", problem: "there is no such file") },
            streams: { _ in [] })
        let look = await source.look()
        #expect(look.streams.isEmpty && look.problem?.contains("there is no such file") == true)
    }

    @Test func `whoever looks gets the past and then each look, and the database is looked at once for all`()
        async throws
    {
        let store = try await store()
        let counter = Counter()
        let source = DashboardSource(
            store: {
                await counter.add()
                return store
            }, streams: { _ in ["orders"] })
        var configuration = DashboardConfiguration()
        // There is one look, and never another.
        configuration.interval = .seconds(3600)
        configuration.maximumViewers = 2
        let feed = DashboardFeed(source, configuration)
        var first = try #require(await feed.addViewer()).makeAsyncIterator()
        #expect(await first.next() == "event: past\ndata: []\n\n")
        let look = try #require(await first.next())
        #expect(look.hasPrefix("event: look\ndata: {") && look.contains("\"orders\""))
        var second = try #require(await feed.addViewer()).makeAsyncIterator()
        let past = try #require(await second.next())
        #expect(past.hasPrefix("event: past\ndata: [{") && past.contains("\"orders\""))
        #expect(await counter.count == 1)
        #expect(await feed.addViewer() == nil, "two are enough")
    }

    @Test func `three hundred writers are too many for one page: the worst are shown, the rest is counted`() {
        let writers = (0..<300).map { number in
            StreamStatus.WriterStatus(
                writer: Writer(.unique(prefix: "w"), epoch: 1), isMember: true, position: 1, isClosed: false,
                inFlight: 0,
                lowestInFlight: nil, inFlightMilliseconds: nil, heartbeatAgeMilliseconds: 10, processID: nil,
                isProcessGone: number == 299)
        }
        let status = StreamStatus(
            stream: "orders", sequence: 1, newestEvent: 1, minimumPersisted: 1, writers: writers, consumers: [])
        let look = DashboardLook.Stream(status)
        #expect(look.writers.count == 256 && look.moreWriters == 44 && look.writers[0].state == "gone")
    }

    private actor Counter {
        private(set) var count = 0
        func add() { count += 1 }
    }
}
#endif
