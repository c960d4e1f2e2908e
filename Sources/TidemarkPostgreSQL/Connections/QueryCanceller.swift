import CLibpq
import Foundation
import Synchronization

/// Asks a server to stop the query of one connection. libpq has a connection of its own made for that, and waits until
/// it is closed again, so that this is done on a thread beside that of the query.
///
/// `@unchecked`: what libpq needs is made before the thread begins, used by it alone, and freed by it.
final class QueryCanceller: @unchecked Sendable {
    private let request: OpaquePointer
    private let pipe: WakePipe
    private let isOver = Atomic(false)

    /// Nil when the connection is no longer one.
    init?(_ connection: OpaquePointer, waking pipe: WakePipe) {
        guard let request = PQgetCancel(connection) else { return nil }
        self.request = request
        self.pipe = pipe
        Thread { self.run() }.start()
    }

    deinit { PQfreeCancel(request) }

    /// Whether the server has taken the request, or could not be asked. Until then the request may still stop whatever
    /// the connection does next.
    var hasEnded: Bool { isOver.load(ordering: .acquiring) }

    private func run() {
        var problem = [CChar](repeating: 0, count: 256)
        // Where it fails, the query goes on until its limit and the connection is given up then.
        _ = PQcancel(request, &problem, CInt(problem.count))
        isOver.store(true, ordering: .releasing)
        pipe.wake()
    }
}
