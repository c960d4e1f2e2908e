import NIOCore

/// How a node comes together with the other processes: it connects to the server, or serves itself. Everything
/// happens on the node's event loop.
protocol Meeting: AnyObject {
    /// Whether this process serves.
    var isServing: Bool { get }
    /// The port that is served, over TCP.
    var servedPort: Int? { get }

    func begin()
    /// The server that this process is connected to has said who it is.
    func serverGreeted()
    /// The link to the server is gone, or never came to a greeting.
    func serverLost(wasSilent: Bool)
    /// The node's own listening socket failed.
    func listenerFailed()
    /// Everyone of this process has caught up over the link.
    func caughtUp()
}
