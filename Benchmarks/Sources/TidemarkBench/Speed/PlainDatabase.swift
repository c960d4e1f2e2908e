import Foundation
import PlainSQLite
import Tidemark
import TidemarkSQLite

/// A plain loop over SQLite's C interface, on a file that has Tidemark's schema.
final class PlainDatabase {
    static let instance: InstanceName = "plain"

    private let database: OpaquePointer
    private var count: Int64 = 0

    /// Makes the file with everything in it that a writer needs.
    static func make(at path: String) async throws {
        let store = try await SQLiteEventStore.open(path: path)
        _ = try await store.join("events", as: instance)
        await store.close()
    }

    init(path: String) throws {
        guard let database = plain_open(path, Self.instance.rawValue) else {
            throw Failure("a plain connection to \(path) cannot be opened")
        }
        self.database = database
        guard plain_make_bare(database) == 0 else { throw failure("make a table") }
    }

    deinit { plain_close(database) }

    /// One transaction with new events.
    ///
    /// - Parameter bare: into the table that has no indexes and no checks.
    func persist(_ events: Int, prefix: String = "plain", bare: Bool = false) throws {
        let code =
            bare
            ? plain_persist_bare(database, prefix, count, Int32(events))
            : plain_persist(database, prefix, count, Int32(events))
        guard code == 0 else { throw failure("persist") }
        count += Int64(events)
    }

    /// Reads all events; how many there are.
    func readAll() throws -> Int {
        var sum: Int64 = 0
        let count = plain_read(database, 0, .max, &sum)
        guard count >= 0, sum != 0 || count == 0 else { throw failure("read") }
        return Int(count)
    }

    private func failure(_ verb: String) -> Failure {
        Failure("a plain connection cannot \(verb): \(String(cString: plain_error(database)))")
    }
}

/// The events of the scenarios that measure against a limit: 200 bytes each, as in the plain loop.
enum PlainEvents {
    static let payload = [UInt8](repeating: UInt8(ascii: "x"), count: 160)

    static func make(_ numbers: Range<Int>, prefix: String) -> [Event] {
        numbers.map { number in
            let digits = String(number)
            return Event(
                id: prefix + "-" + String(repeating: "0", count: max(0, 9 - digits.count)) + digits, type: "ordered",
                key: "alice", payload: payload)
        }
    }
}
