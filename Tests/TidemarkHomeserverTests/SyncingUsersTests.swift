import Testing
import TidemarkCore
import TidemarkHomeserver
import TidemarkWire

/// The registry, with a clock that the test moves.
@Suite struct SyncingUsersTests {
    private func user(_ name: String) throws -> FieldText { try FieldText(validating: name) }

    private func sync(
        _ instance: String, _ user: String, _ device: String? = nil, _ state: UserSync.State = .start,
        at time: Int64 = 1
    ) throws -> UserSync {
        try UserSync(
            instanceID: FieldText(validating: instance), user: FieldText(validating: user),
            device: device.map { try FieldText(validating: $0) }, state: state, lastSyncMilliseconds: time)
    }

    @Test func `a user syncs from the first sync to the last of all instances and devices`() throws {
        var users = SyncingUsers()
        let alice = try user("@alice:b")
        #expect(try users.heard(sync("r1", "@alice:b", "phone"), at: .zero) == [.started(alice)])
        #expect(try users.heard(sync("r1", "@alice:b", "desk"), at: .zero).isEmpty)
        #expect(try users.heard(sync("r2", "@alice:b", "phone"), at: .zero).isEmpty)
        #expect(users.isSyncing(alice) && users.syncs(of: alice).count == 3)
        #expect(try users.heard(sync("r1", "@alice:b", "phone", .end, at: 2), at: .zero).isEmpty)
        #expect(try users.heard(sync("r1", "@alice:b", "desk", .end, at: 9), at: .zero).isEmpty)
        let left = users.syncs(of: alice)
        let (r2, phone) = (try user("r2"), try user("phone"))
        #expect(left.map(\.origin) == [.instance(r2)] && left.map(\.device) == [phone])
        #expect(
            try users.heard(sync("r2", "@alice:b", "phone", .end, at: 3), at: .zero)
                == [.ended(alice, lastSyncMilliseconds: 9)])
        #expect(!users.isSyncing(alice) && users.users.isEmpty && users.syncs(of: alice).isEmpty)
    }

    @Test func `what is told again counts once`() throws {
        var users = SyncingUsers()
        let alice = try user("@alice:b")
        _ = try users.heard(sync("r1", "@alice:b"), at: .zero)
        #expect(try users.heard(sync("r1", "@alice:b", at: 5), at: .seconds(1)).isEmpty)
        #expect(users.syncs(of: alice).map(\.lastSyncMilliseconds) == [5])
        #expect(
            try users.heard(sync("r1", "@alice:b", nil, .end), at: .seconds(2)).count == 1)
        #expect(try users.heard(sync("r1", "@alice:b", nil, .end), at: .seconds(2)).isEmpty)
        // An end of which nobody heard the start.
        #expect(try users.heard(sync("r9", "@carol:b", nil, .end), at: .seconds(2)).isEmpty)
        #expect(users.nextLook == nil)
    }

    @Test func `what an instance reported goes with its clear`() throws {
        var users = SyncingUsers()
        for name in ["@alice:b", "@bob:b"] { _ = try users.heard(sync("r1", name), at: .zero) }
        _ = try users.heard(sync("r2", "@bob:b"), at: .zero)
        let changes = users.heard(ClearUserSync(instanceID: try user("r1")))
        #expect(changes == [.ended(try user("@alice:b"), lastSyncMilliseconds: 1)])
        #expect(users.isSyncing(try user("@bob:b")))
        #expect(users.heard(ClearUserSync(instanceID: try user("r1"))).isEmpty)
    }

    @Test func `what an instance reported goes when it has been silent for five minutes`() throws {
        var users = SyncingUsers()
        _ = try users.heard(sync("r1", "@alice:b"), at: .zero)
        _ = try users.heard(sync("r2", "@bob:b"), at: .seconds(10))
        #expect(users.nextLook == .seconds(300) && users.look(at: .seconds(299)).isEmpty)
        #expect(users.look(at: .seconds(300)) == [.ended(try user("@alice:b"), lastSyncMilliseconds: 1)])
        #expect(users.silenced == 1 && users.nextLook == .seconds(310))
    }

    @Test func `anything that an instance reports ends its silence`() throws {
        var users = SyncingUsers()
        _ = try users.heard(sync("r1", "@alice:b"), at: .zero)
        _ = try users.heard(sync("r1", "@bob:b", nil, .end), at: .seconds(200))
        let alice = try user("@alice:b")
        #expect(users.look(at: .seconds(499)).isEmpty && users.isSyncing(alice))
        #expect(users.look(at: .seconds(500)).count == 1)
    }

    @Test func `another run of an instance is another instance`() throws {
        var users = SyncingUsers()
        _ = try users.heard(sync("run-1", "@alice:b"), at: .zero)
        _ = try users.heard(sync("run-2", "@alice:b"), at: .seconds(200))
        // The first run crashed: nobody said so.
        #expect(users.look(at: .seconds(300)).isEmpty)
        #expect(users.isSyncing(try user("@alice:b")))
    }

    @Test func `syncs of this instance count directly and are never silent`() throws {
        var users = SyncingUsers()
        let phone = try device("@alice:b", "phone")
        #expect(users.begin(phone, at: 1) == [.started(phone.user)])
        #expect(users.begin(phone, at: 2).isEmpty)
        #expect(users.nextLook == nil && users.look(at: .seconds(10_000)).isEmpty)
        #expect(users.syncs(of: phone.user).map(\.origin) == [.here])
        users.end(phone, at: 3, now: .seconds(10_000))
        users.end(phone, at: 4, now: .seconds(10_001))
        #expect(users.nextLook == .seconds(10_011) && users.look(at: .seconds(10_010)).isEmpty)
        #expect(users.look(at: .seconds(10_011)) == [.ended(phone.user, lastSyncMilliseconds: 4)])
    }

    @Test func `a user who syncs here and elsewhere ends with the last of both`() throws {
        var users = SyncingUsers()
        let phone = try device("@alice:b", "phone")
        _ = users.begin(phone, at: 1)
        #expect(try users.heard(sync("r1", "@alice:b", "phone"), at: .zero).isEmpty)
        users.end(phone, at: 2, now: .zero)
        #expect(users.look(at: .seconds(10)).isEmpty)
        #expect(users.heard(ClearUserSync(instanceID: try user("r1"))).count == 1)
    }

    @Test func `there is a bound and what is above it is counted`() throws {
        var limits = SyncingUsers.Limits()
        limits.syncs = 2
        var users = SyncingUsers(limits: limits)
        for name in ["@a:b", "@b:b", "@c:b", "@d:b"] { _ = try users.heard(sync("r1", name), at: .zero) }
        #expect(users.users.count == 2 && users.ignored == 2)
        // What is there already is told again as before, and room is made by an end.
        _ = try users.heard(sync("r1", "@a:b", at: 7), at: .zero)
        #expect(users.ignored == 2)
        _ = try users.heard(sync("r1", "@a:b", nil, .end), at: .zero)
        #expect(try users.heard(sync("r1", "@c:b"), at: .zero).count == 1)
    }

    @Test func `what syncs take is bounded too`() throws {
        var limits = SyncingUsers.Limits()
        limits.bytes = 100_000
        var users = SyncingUsers(limits: limits)
        let long = String(repeating: "x", count: 10_000)
        for number in 0..<100 { _ = try users.heard(sync("r1", "@\(number)\(long):b"), at: .zero) }
        let kept = users.users.count
        #expect((1...10).contains(kept) && users.ignored == 100 - kept)
        // What ends gives back all that it took.
        for number in 0..<100 { _ = try users.heard(sync("r1", "@\(number)\(long):b", nil, .end), at: .zero) }
        #expect(users.users.isEmpty)
        for number in 0..<kept { _ = try users.heard(sync("r2", "@\(number)\(long):b"), at: .zero) }
        #expect(users.users.count == kept)
        _ = users.heard(ClearUserSync(instanceID: try user("r2")))
        for number in 0..<kept { _ = try users.heard(sync("r3\(long)", "@\(number):b"), at: .zero) }
        #expect(users.users.count == kept)
    }

    @Test func `many instances that speak in turns are silenced in time`() throws {
        var users = SyncingUsers()
        for number in 0..<1000 { _ = try users.heard(sync("r\(number)", "@\(number):b"), at: .seconds(number)) }
        for number in 0..<300 {
            let now = Duration.seconds(1000 + number)
            // The first half goes on.
            for talker in 0..<500 where talker % 300 == number {
                _ = try users.heard(sync("r\(talker)", "@\(talker):b"), at: now)
            }
        }
        // By then the silence of the others is over, in the order in which it began.
        #expect(users.nextLook == .seconds(800))
        #expect(users.look(at: .seconds(1299)).count == 500)
        #expect(users.nextLook == .seconds(1300) && users.users.count == 500)
    }

    /// Every order of reports, losses, silences and stops ends with exactly the syncs that go on.
    @Test(arguments: 0..<20)
    func `a registry agrees with its reporters after messages were lost`(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        var users = SyncingUsers()
        var reports = try ["r1", "r2"].map { SyncReport(instanceID: try FieldText(validating: $0)) }
        let devices = try (0..<4).map { try device("@u\($0):b", nil) }
        var counts = [[Int]](repeating: [0, 0, 0, 0], count: 2)
        var started: Set<FieldText> = []
        func deliver(_ commands: [ReplicationCommand], at now: Duration, isLossy: Bool) {
            for command in commands where !isLossy || Bool.random(using: &random) {
                guard case .userSync(let sync) = command else { continue }
                note(users.heard(sync, at: now))
            }
        }
        func note(_ changes: [SyncingUsers.Change]) {
            for change in changes {
                switch change {
                case .started(let user): #expect(started.insert(user).inserted)
                case .ended(let user, _): #expect(started.remove(user) != nil)
                }
            }
        }
        var second = 0
        func step(isLossy: Bool) {
            second += 1
            let now = Duration.seconds(second)
            for index in reports.indices { deliver(reports[index].look(at: now), at: now, isLossy: isLossy) }
            note(users.look(at: now))
        }
        for index in reports.indices { _ = reports[index].connected(at: .zero) }
        for _ in 0..<400 {
            let (index, number) = (Int.random(in: 0..<2, using: &random), Int.random(in: 0..<4, using: &random))
            if counts[index][number] > 0, Bool.random(using: &random) {
                counts[index][number] -= 1
                reports[index].end(devices[number], at: Int64(second), now: .seconds(second))
            } else if counts[index][number] < 2 {
                counts[index][number] += 1
                deliver(
                    reports[index].begin(devices[number], at: Int64(second)), at: .seconds(second), isLossy: true)
            }
            step(isLossy: true)
        }
        for _ in 0..<130 { step(isLossy: false) }
        let syncing = devices.indices.filter { counts[0][$0] + counts[1][$0] > 0 }.map { devices[$0].user }
        #expect(Set(users.users) == Set(syncing) && started == Set(syncing))
    }
}
