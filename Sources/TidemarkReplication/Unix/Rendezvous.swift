import NIOCore
import TidemarkCore

/// Which part this process takes at a TCP address, and when it tries again.
///
/// There is no election: the system lets one process listen at an address, and on one machine only. A process that finds
/// nobody there tries to serve. If it cannot, because another was faster or the address is another machine's, it connects
/// again later.
struct Rendezvous {
    enum Action: Equatable {
        case connect
        case serve
        /// Call ``waited()`` after this time.
        case wait(TimeAmount)
    }

    private let role: TCPConfiguration.Role
    private var backoff: LinkBackoff
    private var random: SplitMix64
    private(set) var isServing = false

    init(role: TCPConfiguration.Role, delays: Backoff, seed: UInt64) {
        self.role = role
        backoff = LinkBackoff(delays)
        random = SplitMix64(seed: seed)
    }

    /// At the start, and after each wait.
    func waited() -> Action { role == .server ? .serve : .connect }

    /// Nobody listens at the address, or it cannot be reached.
    mutating func nobodyServes(now: NIODeadline) -> Action { role == .client ? failed(now: now) : .serve }

    /// Something else went wrong, or this process cannot serve.
    mutating func failed(now: NIODeadline) -> Action {
        isServing = false
        return .wait(backoff.next(at: now, using: &random))
    }

    mutating func serves() {
        isServing = true
        backoff.linkCameUp()
    }

    /// The server has said who it is.
    mutating func greeted() { backoff.linkCameUp() }

    mutating func caughtUp(now: NIODeadline) { backoff.caughtUp(at: now) }

    /// The link to the server is gone, or never came to a greeting; or the listening socket failed.
    mutating func lost(now: NIODeadline) -> Action { failed(now: now) }
}
