import TestSupport
import Testing
import Tidemark
import TidemarkSQLite

/// Stores on one file share nothing in a process but the file: they stand for processes.
@Suite struct ConcurrentStoresTests {
    @Test func `four stores that write without pause all get through, and no event is lost or doubled`() async throws {
        let folder = try TemporaryFolder()
        try await withThrowingTaskGroup { group in
            for index in 0..<4 {
                group.addTask {
                    let store = try await folder.open()
                    let writer = try await store.join(stream, as: InstanceName(validating: "p\(index)")).writer
                    for number in 0..<40 {
                        let own = Event(id: "\(index)-\(number)", type: "noted")
                        let shared = Event(id: "shared-\(number)", type: "noted")
                        _ = try await store.persist([own, shared], in: stream, by: writer)
                        _ = try await store.beat(writer, at: 0)
                    }
                }
            }
            try await group.waitForAll()
        }
        let read = try await folder.open().all()
        #expect(read.map(\.streamID.rawValue) == Array(1...200))
        #expect(Set(read.map(\.event.id)).count == 200)
        #expect(read.map(\.mark.rawValue) == read.map(\.mark.rawValue).sorted())
    }

    @Test func `scopes of two stores that race with the same events leave each one once`() async throws {
        let folder = try TemporaryFolder()
        let outcomes = try await withThrowingTaskGroup(of: [PersistOutcome].self) { group in
            for index in 0..<2 {
                group.addTask {
                    let store = try await folder.open()
                    let writer = try await store.join(stream, as: InstanceName(validating: "p\(index)")).writer
                    var outcomes: [PersistOutcome] = []
                    for event in events(0..<30) {
                        let id = try await store.allocate(1, in: stream, for: writer)[0]
                        outcomes.append(try await store.persist(event, as: id, in: stream, by: writer))
                    }
                    return outcomes
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(outcomes[0].map(\.streamID) == outcomes[1].map(\.streamID))
        let store = try await folder.open()
        #expect(try await store.all().count == 30)
        #expect(try await store.finished() == [1...60])
    }
}
