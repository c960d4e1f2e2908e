import Foundation
import Tidemark

/// Real events: the commits of a public repository, repeated under new ids where more are needed.
struct Workload: Sendable {
    private struct Line: Decodable {
        let id: String
        let type: String
        let key: String?
    }

    private let events: [Event]

    init(file: String) throws {
        let decoder = JSONDecoder()
        events = try Data(contentsOf: URL(filePath: file)).split(separator: UInt8(ascii: "\n")).map { bytes in
            let line = try decoder.decode(Line.self, from: Data(bytes))
            return Event(id: line.id, type: line.type, key: line.key, payload: Array(bytes))
        }
        if events.isEmpty { throw Failure("\(file) has no events") }
    }

    /// The nth event, under an id of its own.
    subscript(number: Int) -> Event {
        var event = events[number % events.count]
        event.id += "-\(number / events.count)"
        return event
    }

    /// Which of `shards` writers gets the nth event: by a hash of its key (FNV-1a, 64 bits), the same in every process.
    func shard(of number: Int, among shards: Int) -> Int {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in (self[number].key ?? "").utf8 {
            hash ^= UInt64(byte)
            hash &*= 0x100_0000_01B3
        }
        return Int(hash % UInt64(shards))
    }
}

/// Why a run ended without a result.
struct Failure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}
