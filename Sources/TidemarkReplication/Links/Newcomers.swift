import TidemarkCore

/// The clients that have connected to a server and not said who they are, TLS included: so many and no more, so that they
/// take no descriptors away from others.
///
/// Any program that can connect can fill this. So the client that has to make room is not the first one, which may be just
/// about to say its name, but one of the origin that has most of them: a client from elsewhere stays, however many come after
/// it. Among the clients of that origin it is a random one. A client that shares its origin with a flood then stays with a
/// probability of (1 - 1/`limit`)ⁿ while n others come, and gets in with one of its next attempts; as the oldest it would
/// always have to go once `limit` others had come.
struct Newcomers<Client: AnyObject> {
    private let limit: Int
    private var random: SplitMix64
    /// The oldest first, so that a seed decides what happens.
    private var clients: [(client: Client, origin: ClientOrigin)] = []

    /// - Parameter limit: with less than one, nobody could ever say a name: that counts as one.
    init(limit: Int, seed: UInt64) {
        self.limit = max(limit, 1)
        random = SplitMix64(seed: seed)
    }

    var all: [Client] { clients.map(\.client) }

    /// Takes one more in.
    ///
    /// - Returns: the client that makes room for it, and is none of these any more. It is never the new one: everyone has
    ///   the time that passes until the next one comes.
    mutating func add(_ client: Client, from origin: ClientOrigin) -> Client? {
        clients.append((client, origin))
        guard clients.count > limit else { return nil }
        var counts: [ClientOrigin: Int] = [:]
        for (_, origin) in clients { counts[origin, default: 0] += 1 }
        let most = counts.values.max()
        // Never empty: either another client has the new one's origin, or no two clients share one.
        let candidates = clients.indices.dropLast().filter { counts[clients[$0].origin] == most }
        return candidates.randomElement(using: &random).map { clients.remove(at: $0).client }
    }

    /// The client has said who it is, or is gone.
    ///
    /// - Returns: whether it was one of these.
    mutating func remove(_ client: Client) -> Bool {
        guard let index = clients.firstIndex(where: { $0.client === client }) else { return false }
        clients.remove(at: index)
        return true
    }

    mutating func removeAll() -> [Client] {
        defer { clients = [] }
        return all
    }
}
