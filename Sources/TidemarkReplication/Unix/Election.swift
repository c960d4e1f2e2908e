#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

import NIOCore
import TidemarkCore

/// Which part this process takes: it connects where somebody serves, serves where nobody does, and steps down when
/// another has taken its place.
///
/// There is no vote. One name in the folder is given to another socket atomically, and the process of that socket serves. A
/// lock keeps several from taking the name at the same moment; it saves work and is not needed for safety, because a server
/// that finds the name to be another's steps down. So a lock whose holder is stopped is waited for no longer than
/// ``lockPatience``.
struct Election {
    enum Action: Equatable {
        /// Connect to the socket, unless it is still the one whose server is silent.
        case connect(avoiding: SocketIdentity?)
        /// Serve, unless the name stands for another socket than the one that does not answer.
        case takeOver(replacing: SocketIdentity?, ignoringLock: Bool)
        /// Call ``waited()`` after this time.
        case wait(TimeAmount)
        case stepDown(then: TimeAmount)
        case nothing
    }

    /// How long a lock that another holds is respected.
    static let lockPatience = TimeAmount.seconds(1)
    /// Short at first, so that the next one takes over at once; nine attempts take at least 8 seconds all the same.
    static let delays = Backoff(shortest: .milliseconds(5), longest: .seconds(5), growth: 4)

    private enum State {
        case seeking
        case client(of: SocketIdentity?)
        case serving(SocketIdentity)
    }

    private var state = State.seeking
    private var backoff = LinkBackoff(delays)
    private var random: SplitMix64
    /// The socket whose server fell silent: connecting to it would succeed, and be as silent again.
    private var silent: SocketIdentity?
    private var lockRefusedSince: NIODeadline?

    init(seed: UInt64) { random = SplitMix64(seed: seed) }

    var isServing: Bool {
        if case .serving = state { true } else { false }
    }

    /// At the start, and after each wait.
    func waited() -> Action { .connect(avoiding: silent) }

    /// Nobody answers at the socket, or there is none, or it is the silent one.
    mutating func nobodyServes(at found: SocketIdentity?, now: NIODeadline) -> Action {
        let patienceIsOver = lockRefusedSince.map { now - $0 >= Self.lockPatience } ?? false
        return .takeOver(replacing: found, ignoringLock: patienceIsOver)
    }

    /// Another process is taking over right now.
    mutating func lockIsHeld(now: NIODeadline) -> Action {
        lockRefusedSince = lockRefusedSince ?? now
        return .wait(.microseconds(Int64.random(in: 500...5000, using: &random)))
    }

    /// Another process took over in between.
    mutating func replacedMeanwhile() -> Action {
        lockRefusedSince = nil
        return .wait(.microseconds(Int64.random(in: 100...1000, using: &random)))
    }

    mutating func tookOver(as socket: SocketIdentity) {
        linkCameUp(.serving(socket))
    }

    /// The server has said who it is.
    mutating func greeted(by socket: SocketIdentity?) {
        linkCameUp(.client(of: socket))
    }

    /// Everyone of this process has caught up over the link.
    mutating func caughtUp(now: NIODeadline) { backoff.caughtUp(at: now) }

    /// The link to the server is gone, or never came to a greeting.
    mutating func lostServer(at socket: SocketIdentity?, wasSilent: Bool, now: NIODeadline) -> Action {
        state = .seeking
        silent = wasSilent ? socket : nil
        return .wait(backoff.next(at: now, using: &random))
    }

    /// Something else went wrong: the folder is gone or not ours, the system has no descriptors left.
    mutating func failed(now: NIODeadline) -> Action {
        state = .seeking
        return .wait(backoff.next(at: now, using: &random))
    }

    /// A server looks regularly whose socket the name stands for.
    mutating func looked(found: SocketIdentity?, now: NIODeadline) -> Action {
        guard case .serving(let own) = state, found != own else { return .nothing }
        state = .seeking
        return .stepDown(then: backoff.next(at: now, using: &random))
    }

    private mutating func linkCameUp(_ newState: State) {
        state = newState
        silent = nil
        lockRefusedSince = nil
        backoff.linkCameUp()
    }
}

/// The lock that keeps two processes from taking over at the same moment, released when the value goes.
///
/// It is asked for without waiting. The system releases it when its holder ends, however that happens.
struct ElectionLock: ~Copyable {
    let isHeld: Bool
    private let descriptor: CInt

    init(in folder: borrowing SocketFolder) throws(SocketFolderError) {
        let flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW
        descriptor = openat(folder.descriptor, SocketFolder.lockName, flags, 0o600)
        if descriptor < 0 { throw .last("open", "\(folder.path)/\(SocketFolder.lockName)") }
        folder.giveToOwner(descriptor)
        isHeld = flock(descriptor, LOCK_EX | LOCK_NB) == 0
    }

    deinit { close(descriptor) }
}
