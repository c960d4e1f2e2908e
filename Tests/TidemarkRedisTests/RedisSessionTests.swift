import Testing

@testable import TidemarkRedis

/// The session from the first connection to the subscription, and back again, without a socket.
@Suite struct RedisSessionTests {
    private typealias Action = RedisSession.Action

    private func session(_ url: String, hearsUserIP: Bool = false) throws -> RedisSession {
        var configuration = RedisConfiguration()
        configuration.hearsUserIP = hearsUserIP
        return RedisSession(url: try RedisURL(parsing: url), configuration: configuration) { 0.5 }
    }

    private let replicate = RedisCommand.publish(RedisMessage(channel: "c", line: Array("REPLICATE".utf8)))

    private func confirmation(_ channel: String = "c") -> RedisReply {
        .array([.bytes(Array("subscribe".utf8)), .bytes(Array(channel.utf8)), .integer(1)])
    }

    private func subscribed(_ url: String = "redis://h/c", at now: Duration = .zero) throws -> RedisSession {
        var session = try session(url)
        _ = session.start(at: now)
        _ = session.opened(.publisher, at: now)
        _ = session.opened(.listener, at: now)
        #expect(session.received(confirmation(), from: .listener, at: now) == [.write(.publisher, [replicate])])
        #expect(session.received(message("REPLICATE"), from: .listener, at: now) == [.connected])
        return session
    }

    @Test func `replicate is said only after the subscription is confirmed`() throws {
        var session = try session("redis://h/c")
        #expect(session.start(at: .zero) == [.open])
        #expect(session.opened(.listener, at: .zero).isEmpty)
        #expect(session.opened(.publisher, at: .zero) == [.write(.listener, [.subscribe("c")])])
        #expect(
            session.received(confirmation(), from: .listener, at: .zero)
                == [.write(.publisher, [replicate])])
    }

    // MARK: What is published comes back

    @Test func `the link is up when what was published has come back`() throws {
        var session = try session("redis://h/c")
        _ = session.start(at: .zero)
        for role in RedisSession.Role.allCases { _ = session.opened(role, at: .zero) }
        _ = session.received(confirmation(), from: .listener, at: .zero)
        let task = RedisMessage(channel: "c", line: Array("NEW_ACTIVE_TASK 1".utf8))
        #expect(session.publish([task], at: .zero) == [.dropped(1)])
        #expect(session.received(message("NEW_ACTIVE_TASK 2"), from: .listener, at: .zero).isEmpty)
        #expect(session.received(message("REPLICATE"), from: .listener, at: .zero) == [.connected])
        #expect(session.publish([task], at: .zero) == [.write(.publisher, [.publish(task)])])
        #expect(session.received(message("NEW_ACTIVE_TASK 2"), from: .listener, at: .zero).count == 1)
    }

    /// Where a proxy, or a failover, has the two connections reach different servers.
    @Test func `a link on which nothing comes back is never up and fails`() throws {
        var session = try session("redis://h/c")
        _ = session.start(at: .zero)
        for role in RedisSession.Role.allCases { _ = session.opened(role, at: .zero) }
        _ = session.received(confirmation(), from: .listener, at: .zero)
        _ = session.received(.integer(0), from: .publisher, at: .zero)
        try expectDeafness(of: &session, wasConnected: false)
    }

    @Test func `a link on which nothing comes back any more fails`() throws {
        var session = try subscribed()
        _ = session.received(.integer(1), from: .publisher, at: .zero)
        let task = RedisMessage(channel: "c", line: Array("NEW_ACTIVE_TASK 1".utf8))
        _ = session.publish([task], at: .zero)
        _ = session.received(.integer(0), from: .publisher, at: .zero)
        try expectDeafness(of: &session, wasConnected: true)
    }

    /// The server answers all the while.
    private func expectDeafness(of session: inout RedisSession, wasConnected: Bool) throws {
        let pong = RedisReply.array([.bytes(Array("pong".utf8)), .bytes([])])
        for second in 1...3 {
            let now = Duration.seconds(second)
            #expect(session.look(at: now).count == 2)
            _ = session.received(.status("PONG"), from: .publisher, at: now)
            _ = session.received(pong, from: .listener, at: now)
        }
        #expect(
            session.look(at: .seconds(4)) == [
                .close, .failed(.deaf(server: "h:6379", limit: .seconds(4)), wasConnected: wasConnected),
            ])
    }

    @Test func `a process that was stopped itself is not deaf`() throws {
        var session = try subscribed()
        _ = session.publish([RedisMessage(channel: "c", line: Array("NEW_ACTIVE_TASK 1".utf8))], at: .zero)
        #expect(session.look(at: .seconds(60)).count == 2)
        #expect(session.received(message("NEW_ACTIVE_TASK 1"), from: .listener, at: .seconds(60)).isEmpty)
        #expect(session.look(at: .seconds(61)).count == 2)
    }

    @Test func `who may not publish is up with the refusal`() throws {
        var session = try session("redis://h/c")
        _ = session.start(at: .zero)
        for role in RedisSession.Role.allCases { _ = session.opened(role, at: .zero) }
        _ = session.received(confirmation(), from: .listener, at: .zero)
        let actions = session.received(.error("NOPERM"), from: .publisher, at: .zero)
        #expect(actions.first == .connected && actions.count == 3)
        #expect(session.received(message("REPLICATE"), from: .listener, at: .zero).count == 1)
    }

    @Test func `both connections log in before the subscription`() throws {
        var session = try session("redis://u:secret@h/c")
        _ = session.start(at: .zero)
        let auth = RedisCommand.auth(user: "u", password: "secret")
        #expect(session.opened(.publisher, at: .zero) == [.write(.publisher, [auth])])
        #expect(session.opened(.listener, at: .zero) == [.write(.listener, [auth])])
        #expect(session.received(.status("OK"), from: .publisher, at: .zero).isEmpty)
        #expect(session.received(.status("OK"), from: .listener, at: .zero) == [.write(.listener, [.subscribe("c")])])
    }

    @Test func `a wrong password is a typed error and the next attempt comes later`() throws {
        var session = try session("redis://u:secret@h/c")
        var now = Duration.zero
        var actions = session.start(at: now)
        var delays: [Duration] = []
        for _ in 0..<8 {
            #expect(actions == [.open])
            _ = session.opened(.publisher, at: now)
            let error = RedisError.refused(server: "h:6379", step: .authentication, answer: "WRONGPASS invalid")
            #expect(
                session.received(.error("WRONGPASS invalid"), from: .publisher, at: now)
                    == [.close, .failed(error, wasConnected: false)])
            let next = try #require(session.nextLook)
            delays.append(next - now)
            #expect(session.look(at: next - .milliseconds(1)).isEmpty)
            now = next
            actions = session.look(at: now)
        }
        #expect(delays.first == .milliseconds(375) && delays.last == .milliseconds(7500))
        #expect(zip(delays, delays.dropFirst()).allSatisfy { $0 <= $1 })
    }

    @Test(arguments: [
        "ERR unknown command 'AUTH', with args beginning with: 'u' 'hunter2'", "ERR unknown command `AUTH` `hunter2`",
    ])
    func `an answer that repeats the password is not shown`(answer: String) throws {
        var session = try session("redis://u:hunter2@h/c")
        _ = session.start(at: .zero)
        _ = session.opened(.publisher, at: .zero)
        let actions = session.received(.error(answer), from: .publisher, at: .zero)
        #expect(actions.count == 2 && !"\(actions)".contains("hunter2") && "\(actions)".contains("ERR"))
    }

    @Test func `an answer does nothing to a terminal`() {
        #expect(RedisAnswer.shown("ERR \u{1B}[2J", hiding: nil) == "ERR \\u{1B}[2J")
    }

    @Test func `a subscription that is refused is a typed error`() throws {
        var session = try session("redis://h/c")
        _ = session.start(at: .zero)
        _ = session.opened(.publisher, at: .zero)
        _ = session.opened(.listener, at: .zero)
        let error = RedisError.refused(server: "h:6379", step: .subscription, answer: "NOAUTH")
        #expect(
            session.received(.error("NOAUTH"), from: .listener, at: .zero) == [
                .close, .failed(error, wasConnected: false),
            ])
    }

    @Test func `the channel of addresses is listened to only when asked for`() throws {
        var session = try session("redis://h/c", hearsUserIP: true)
        _ = session.start(at: .zero)
        _ = session.opened(.publisher, at: .zero)
        #expect(
            session.opened(.listener, at: .zero)
                == [.write(.listener, [.subscribe("c/USER_IP"), .subscribe("c")])])
        #expect(session.received(confirmation("c/USER_IP"), from: .listener, at: .zero).isEmpty)
        // What is said there before the set-up is done is before `.connected`.
        #expect(session.received(message("USER_IP x", on: "c/USER_IP"), from: .listener, at: .zero).isEmpty)
        #expect(session.received(confirmation("c"), from: .listener, at: .zero) == [.write(.publisher, [replicate])])
    }

    @Test func `who may not hear the addresses hears the rest`() throws {
        var session = try session("redis://h/c", hearsUserIP: true)
        _ = session.start(at: .zero)
        _ = session.opened(.publisher, at: .zero)
        _ = session.opened(.listener, at: .zero)
        let refusal = RedisError.refused(server: "h:6379", step: .subscription, answer: "NOPERM")
        #expect(session.received(.error("NOPERM"), from: .listener, at: .zero) == [.refused(refusal)])
        #expect(session.received(confirmation("c"), from: .listener, at: .zero) == [.write(.publisher, [replicate])])
        // It is not listened to, so it does not come back.
        let seen = RedisMessage(channel: "c/USER_IP", line: Array("USER_IP x".utf8))
        _ = session.received(message("REPLICATE"), from: .listener, at: .zero)
        _ = session.publish([seen, RedisMessage(channel: "c", line: Array("NEW_ACTIVE_TASK 1".utf8))], at: .zero)
        #expect(session.received(message("NEW_ACTIVE_TASK 1"), from: .listener, at: .zero).isEmpty)
    }

    @Test func `the delay grows until the participant has caught up and not only until it is connected`() throws {
        var session = try subscribed()
        var now = Duration.zero
        func fail() -> Duration {
            #expect(session.failed(.lost(server: "h:6379", problem: ""), at: now).count == 2)
            let delay = (session.nextLook ?? now) - now
            now += delay
            #expect(session.look(at: now) == [.open])
            _ = session.opened(.publisher, at: now)
            _ = session.opened(.listener, at: now)
            _ = session.received(confirmation(), from: .listener, at: now)
            #expect(session.received(message("REPLICATE"), from: .listener, at: now) == [.connected])
            return delay
        }
        let delays = (0..<10).map { _ in fail() }
        #expect(delays.first == .milliseconds(15) && delays.last == .milliseconds(375))
        // Ten failures at once take more than a second: no tight loop.
        #expect(delays.reduce(.zero, +) > .seconds(1))
        session.caughtUp()
        #expect(fail() == .milliseconds(15))
    }

    @Test func `a participant that caught up on a connection that is gone changes nothing`() throws {
        var session = try subscribed()
        for _ in 0..<3 {
            _ = session.failed(.lost(server: "h:6379", problem: ""), at: .zero)
            session.caughtUp()
            let next = try #require(session.nextLook)
            _ = session.look(at: next)
        }
        _ = session.failed(.lost(server: "h:6379", problem: ""), at: .zero)
        #expect(session.nextLook == .milliseconds(120))
    }

    @Test func `a set up that takes too long is given up`() throws {
        var session = try session("redis://h/c")
        _ = session.start(at: .zero)
        _ = session.opened(.publisher, at: .zero)
        #expect(session.nextLook == .seconds(5) && session.look(at: .seconds(4)).isEmpty)
        #expect(
            session.look(at: .seconds(5)) == [
                .close, .failed(.setUpTimedOut(server: "h:6379", limit: .seconds(5)), wasConnected: false),
            ])
    }

    @Test func `what does not answer as Redis is a typed error`() throws {
        var session = try session("redis://:p@h/c")
        _ = session.start(at: .zero)
        _ = session.opened(.publisher, at: .zero)
        #expect(
            "\(session.received(.integer(3), from: .publisher, at: .zero))".contains(
                "does not answer as a Redis server"))
    }

    @Test func `a stopped session does nothing more`() throws {
        var session = try subscribed()
        #expect(session.stop() == [.close] && session.nextLook == nil)
        #expect(session.failed(.lost(server: "h:6379", problem: ""), at: .zero).isEmpty)
        #expect(session.look(at: .seconds(100)).isEmpty)
        #expect(session.publish([RedisMessage(channel: "c", line: [])], at: .zero) == [.dropped(1)])
    }

    // MARK: Pings

    @Test func `the server is asked on both connections`() throws {
        var session = try subscribed()
        #expect(session.nextLook == .seconds(1))
        #expect(session.look(at: .seconds(1)) == [.write(.publisher, [.ping]), .write(.listener, [.ping])])
        _ = session.received(.integer(1), from: .publisher, at: .seconds(1))
        #expect(session.received(.status("PONG"), from: .publisher, at: .seconds(1)).isEmpty)
        let pong = RedisReply.array([.bytes(Array("pong".utf8)), .bytes([])])
        #expect(session.received(pong, from: .listener, at: .seconds(1)).isEmpty)
    }

    @Test(arguments: RedisSession.Role.allCases)
    func `silence of either connection ends both`(silent: RedisSession.Role) throws {
        var session = try subscribed()
        _ = session.received(.integer(1), from: .publisher, at: .zero)
        for second in 1...3 {
            _ = session.look(at: .seconds(second))
            if silent == .listener {
                _ = session.received(.status("PONG"), from: .publisher, at: .seconds(second))
            } else {
                let pong = RedisReply.array([.bytes(Array("pong".utf8)), .bytes([])])
                _ = session.received(pong, from: .listener, at: .seconds(second))
            }
        }
        #expect(
            session.look(at: .seconds(4)) == [
                .close, .failed(.silent(server: "h:6379", limit: .seconds(4)), wasConnected: true),
            ])
    }

    @Test func `a process that was stopped itself does not take that for silence`() throws {
        var session = try subscribed()
        #expect(session.look(at: .seconds(60)) == [.write(.publisher, [.ping]), .write(.listener, [.ping])])
    }
}

func message(_ line: String, on channel: String = "c") -> RedisReply {
    .array([.bytes(Array("message".utf8)), .bytes(Array(channel.utf8)), .bytes(Array(line.utf8))])
}
