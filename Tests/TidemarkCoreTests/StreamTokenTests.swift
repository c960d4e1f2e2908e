import Testing
import TidemarkCore

@Suite struct StreamTokenTests {
    private let numbers: [InstanceName: Int] = ["p1": 1, "p2": 2, "p3": 3, "p10": 10]

    private func encode(_ token: StreamToken) throws -> String {
        try token.encoded { name in numbers[name]! }
    }

    private func decode(_ text: String) throws -> StreamToken {
        try StreamToken(decoding: text) { number in
            try #require(numbers.first { $0.value == number }?.key)
        }
    }

    @Test func `writers at or below the minimum are dropped`() {
        let token = StreamToken(minimum: 5, ahead: ["p1": 5, "p2": 4, "p3": 6])
        #expect(token.ahead == ["p3": 6])
        #expect(token.position(of: "p1") == 5)
        #expect(token.position(of: "p3") == 6)
        #expect(token.position(of: "stranger") == 5)
    }

    @Test func `tokens are written by the number of the writer`() throws {
        #expect(try encode(StreamToken(minimum: 56)) == "s56")
        #expect(try encode(StreamToken(minimum: 56, ahead: ["p3": 59, "p2": 58])) == "m56~2.58~3.59")
        #expect(try encode(StreamToken(minimum: 1, ahead: ["p10": 3, "p2": 2])) == "m1~2.2~10.3")
    }

    @Test(arguments: ["s56", "m56~2.58~3.59", "s0", "s-3", "m1~2.2~10.3"])
    func `what is read is written back`(_ text: String) throws {
        #expect(try encode(decode(text)) == text)
    }

    @Test(arguments: [
        "", "s", "m", "x5", "56", "s5 ", "s05", "s+5", "s5~2.6", "m5~", "m5~2", "m5~2.", "m5~.6", "m5~2.6.7", "m5~2.06",
        "m5~2.6~2.7", "s99999999999999999999",
    ])
    func `what is no token is refused`(_ text: String) {
        #expect(throws: InvalidStreamToken.self) { try decode(text) }
    }

    /// All tokens over two writers with small numbers: enough to see the laws of a lattice broken.
    private static let small: [StreamToken] = (0...3).flatMap { minimum in
        (0...3).flatMap { first in
            (0...3).map { second in
                StreamToken(
                    minimum: StreamID(Int64(minimum)),
                    ahead: ["p1": StreamID(Int64(first)), "p2": StreamID(Int64(second))])
            }
        }
    }

    @Test func `advancing gives the least token at or after both`() {
        for left in Self.small {
            for right in Self.small {
                let join = left.advanced(by: right)
                #expect(left.isAtOrBefore(join) && right.isAtOrBefore(join))
                #expect(join == right.advanced(by: left))
                for other in Self.small where left.isAtOrBefore(other) && right.isAtOrBefore(other) {
                    #expect(join.isAtOrBefore(other))
                }
            }
        }
    }

    @Test func `order is antisymmetric`() {
        for left in Self.small {
            #expect(left.isAtOrBefore(left))
            for right in Self.small where left.isAtOrBefore(right) && right.isAtOrBefore(left) {
                #expect(left == right)
            }
        }
    }

    @Test func `bounding cuts every position off`() {
        let token = StreamToken(minimum: 5, ahead: ["p1": 9, "p2": 7])
        #expect(token.bounded(by: 8) == StreamToken(minimum: 5, ahead: ["p1": 8, "p2": 7]))
        #expect(token.bounded(by: 4) == StreamToken(minimum: 4))
    }
}
