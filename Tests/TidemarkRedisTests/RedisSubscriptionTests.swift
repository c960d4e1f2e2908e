import Testing

@testable import TidemarkRedis

/// What is published and what comes back, without a socket.
@Suite struct RedisSubscriptionTests {
    /// One whose first line came back.
    private func subscription(limit: Int = 1000) throws -> RedisSubscription {
        var configuration = RedisConfiguration()
        configuration.unsentLimit = limit
        var subscription = RedisSubscription(
            channels: ["c"], url: try RedisURL(parsing: "redis://h/c"), configuration, at: .zero)
        _ = subscription.publish([line("REPLICATE")], at: .zero)
        #expect(subscription.received(.integer(1), from: .publisher, at: .zero).isEmpty)
        #expect(subscription.received(message("REPLICATE"), from: .listener, at: .zero) == [.connected])
        return subscription
    }

    private func line(_ text: String) -> RedisMessage { RedisMessage(channel: "c", line: Array(text.utf8)) }

    private func hear(_ text: String, _ subscription: inout RedisSubscription) -> [String] {
        subscription.received(message(text), from: .listener, at: .zero).map { action in
            if case .deliver(let message) = action { String(decoding: message.line, as: UTF8.self) } else { "?" }
        }
    }

    @Test func `several lines are one write`() throws {
        var subscription = try subscription()
        #expect(
            subscription.publish([line("A"), line("B")], at: .zero)
                == [.write(.publisher, [.publish(line("A")), .publish(line("B"))])])
    }

    @Test func `what comes back is not handed on`() throws {
        var subscription = try subscription()
        _ = subscription.publish([line("A"), line("B"), line("A")], at: .zero)
        #expect(hear("A", &subscription) == [])
        #expect(hear("X", &subscription) == ["X"])
        #expect(hear("B", &subscription) == [] && hear("A", &subscription) == [])
        #expect(hear("A", &subscription) == ["A"])
    }

    @Test func `of equal lines so many are handed on as others have sent`() throws {
        var subscription = try subscription()
        _ = subscription.publish([line("REPLICATE"), line("B")], at: .zero)
        // Somebody else's comes first, between and after.
        let heard = ["REPLICATE", "REPLICATE", "B", "REPLICATE", "B"].flatMap { hear($0, &subscription) }
        #expect(heard == ["REPLICATE", "REPLICATE", "B"])
    }

    @Test func `what the server refused does not come back`() throws {
        var subscription = try subscription()
        _ = subscription.publish([line("A"), line("B"), line("C")], at: .zero)
        #expect(subscription.received(.integer(1), from: .publisher, at: .zero).isEmpty)
        #expect(
            subscription.received(.error("NOPERM no"), from: .publisher, at: .zero) == [
                .dropped(1), .refused(.refused(server: "h:6379", step: .publication, answer: "NOPERM no")),
            ])
        #expect(hear("A", &subscription) == [] && hear("C", &subscription) == [])
        #expect(hear("B", &subscription) == ["B"])
        // One sentence is enough.
        #expect(subscription.received(.error("NOPERM no"), from: .publisher, at: .zero) == [.dropped(1)])
    }

    @Test func `an answer that repeats what was published is cut off`() throws {
        var subscription = try subscription()
        _ = subscription.publish([line("USER_IP @a [\"token\"]")], at: .zero)
        let answer = "ERR unknown command 'PUBLISH', with args beginning with: 'c' 'USER_IP @a [\"token\"]'"
        let actions = subscription.received(.error(answer), from: .publisher, at: .zero)
        #expect("\(actions)".contains("ERR unknown command") && !"\(actions)".contains("token"))
    }

    @Test func `only so much may be on its way`() throws {
        var subscription = try subscription(limit: 10)
        #expect(subscription.hasRoom)
        _ = subscription.publish([line("12345"), line("12345")], at: .zero)
        #expect(!subscription.hasRoom)
        // Answered, but still to come back.
        for _ in 0..<2 { _ = subscription.received(.integer(1), from: .publisher, at: .zero) }
        #expect(!subscription.hasRoom)
        _ = hear("12345", &subscription)
        #expect(subscription.hasRoom)
    }

    /// Nobody knows what it refused: with a new connection everyone looks.
    @Test func `a server that takes lines again after it refused some is left`() throws {
        var subscription = try subscription()
        _ = subscription.publish([line("A"), line("B")], at: .zero)
        _ = subscription.received(.error("OOM"), from: .publisher, at: .zero)
        let actions = subscription.received(.integer(1), from: .publisher, at: .zero)
        guard case .failed(.lost(_, _), wasConnected: true)? = actions.first else {
            Issue.record("\(actions)")
            return
        }
    }

    @Test func `a server that loads its data is there`() throws {
        var subscription = try subscription()
        _ = subscription.ping()
        #expect(subscription.received(.error("LOADING"), from: .publisher, at: .zero).isEmpty)
    }

    @Test(arguments: RedisSession.Role.allCases)
    func `an answer to nothing ends the connection`(role: RedisSession.Role) throws {
        var subscription = try subscription()
        let actions = subscription.received(.integer(1), from: role, at: .zero)
        #expect("\(actions)".contains("does not answer as a Redis server"))
    }
}
