import Foundation
import Synchronization
import Testing
import Tidemark

@testable import TidemarkCLI

@Suite struct EventBufferTests {
    private func events(_ numbers: Range<Int>) -> [Event] {
        numbers.map { Event(id: "e\($0)", type: "noted") }
    }

    @Test func `what is there is handed out at once, in order, and the end comes after it`() async throws {
        let buffer = EventBuffer(limit: 10)
        buffer.add(events(0..<3))
        buffer.add(events(3..<5))
        buffer.finish(InputFailure(problem: "gone"))
        #expect(try await buffer.next(upTo: 4) == events(0..<4))
        #expect(try await buffer.next(upTo: 4) == events(4..<5))
        await #expect(throws: InputFailure.self) { try await buffer.next(upTo: 4) }
    }

    @Test func `whoever adds waits while there is too much`() async throws {
        let buffer = EventBuffer(limit: 10)
        let added = Mutex(0)
        let thread = Thread {
            for number in 0..<100 {
                buffer.add(events(number..<(number + 1)))
                added.withLock { $0 = number + 1 }
            }
            buffer.finish(nil)
        }
        thread.start()
        var taken = 0
        while let next = try await buffer.next(upTo: 3) {
            #expect(next == events(taken..<(taken + next.count)))
            taken += next.count
            // The limit, and the addition that goes beyond it.
            #expect(added.withLock { $0 } <= taken + 11)
        }
        #expect(taken == 100)
    }

    @Test func `a task that is cancelled takes nothing more, and nobody waits for it`() async throws {
        let buffer = EventBuffer(limit: 1)
        let consumer = Task { try await buffer.next(upTo: 1) }
        consumer.cancel()
        await #expect(throws: CancellationError.self) { try await consumer.value }
        #expect(buffer.isAbandoned)
        buffer.add(events(0..<50))
    }
}
