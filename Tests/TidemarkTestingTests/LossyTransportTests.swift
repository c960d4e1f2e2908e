import Synchronization
import Testing
import Tidemark
import TidemarkTesting

/// What a lossy transport does to commands, by its seed and the clock alone.
@Suite struct LossyTransportTests {
    let clock = ManualClock()

    private func transport(seed: UInt64 = 1, _ faults: LossyTransport.Faults) -> LossyTransport {
        LossyTransport(seed: seed, faults: faults, time: TimeSource(clock))
    }

    private func command(_ number: Int64) -> ReplicationCommand {
        .position(
            ReplicationPosition(
                stream: "events", writer: Writer("a", epoch: 1), previous: 0, new: StreamID(number)))
    }

    /// What one participant has heard, in order.
    private final class Ear: Sendable {
        private let state = Mutex<[Int64]>([])

        var heard: [Int64] { state.withLock { $0 } }

        func receive(_ event: ReplicationEvent) {
            guard case .command(.position(let position)) = event else { return }
            state.withLock { $0.append(position.new.rawValue) }
        }
    }

    /// What b hears of 500 commands, of which a sends one a millisecond.
    private func hear(seed: UInt64, _ faults: LossyTransport.Faults) async throws -> ([Int64], LossyTransport.Counts) {
        let transport = transport(seed: seed, faults)
        let ear = Ear()
        let sender = try await transport.connect(as: "a") { _ in }
        let receiver = try await transport.connect(as: "b", receive: ear.receive)
        for number in 1...500 as ClosedRange<Int64> {
            sender.send([command(number)])
            clock.advance(by: .milliseconds(1))
            await transport.deliverDue()
        }
        clock.advance(by: faults.delay.upperBound)
        await transport.deliverDue()
        await sender.close()
        await receiver.close()
        return (ear.heard, transport.counts)
    }

    @Test func `the same seed does the same`() async throws {
        let (first, _) = try await hear(seed: 7, LossyTransport.Faults())
        let (second, _) = try await hear(seed: 7, LossyTransport.Faults())
        let (other, _) = try await hear(seed: 8, LossyTransport.Faults())
        #expect(first == second)
        #expect(first != other)
    }

    @Test func `commands are lost repeated and overtaken`() async throws {
        let (heard, counts) = try await hear(seed: 7, LossyTransport.Faults(lossPercent: 30, repetitionPercent: 30))
        #expect(counts.sent == 500 && counts.delivered == heard.count)
        #expect(counts.delivered == counts.sent - counts.lost + counts.repeated)
        #expect(100...200 ~= counts.lost && 70...140 ~= counts.repeated && counts.overtaken > 100)
        #expect(heard != heard.sorted() && Set(heard).count == 500 - counts.lost)
    }

    @Test func `without faults everything arrives at once and in order`() async throws {
        let faults = LossyTransport.Faults(lossPercent: 0, repetitionPercent: 0, delay: .zero ... .zero)
        let (heard, counts) = try await hear(seed: 7, faults)
        #expect(heard == Array(1...500) && counts.overtaken == 0)
    }

    @Test func `nothing arrives before its time`() async throws {
        let transport = transport(
            LossyTransport.Faults(lossPercent: 0, repetitionPercent: 0, delay: .seconds(2) ... .seconds(2)))
        let ear = Ear()
        let sender = try await transport.connect(as: "a") { _ in }
        let receiver = try await transport.connect(as: "b", receive: ear.receive)
        sender.send([command(1), command(2)])
        clock.advance(by: .milliseconds(1999))
        await transport.deliverDue()
        #expect(ear.heard.isEmpty)
        clock.advance(by: .milliseconds(1))
        await transport.deliverDue()
        #expect(ear.heard == [1, 2])
        await receiver.close()
        sender.send([command(3)])
        clock.advance(by: .seconds(2))
        await transport.deliverDue()
        #expect(ear.heard == [1, 2])
    }

    @Test func `a full queue loses what comes`() async throws {
        let transport = transport(
            LossyTransport.Faults(
                lossPercent: 0, repetitionPercent: 100, delay: .seconds(1) ... .seconds(1), queueLimit: 5))
        let ear = Ear()
        let sender = try await transport.connect(as: "a") { _ in }
        let receiver = try await transport.connect(as: "b", receive: ear.receive)
        sender.send((1...10).map(command))
        #expect(transport.counts.lost == 7)
        clock.advance(by: .seconds(1))
        await transport.deliverDue()
        #expect(ear.heard == [1, 1, 2, 2, 3])
        await receiver.close()
    }
}
