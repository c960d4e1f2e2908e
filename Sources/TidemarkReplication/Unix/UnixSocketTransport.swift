public import Logging
public import Tidemark

/// Carries commands between the processes of one user on one machine that name the same folder, with no setting at all.
///
/// One of the processes serves a Unix socket in the folder, the others connect to it, and when it ends or falls silent
/// another takes over within milliseconds; nothing is left that has to be cleaned up. Only the folder's owner can
/// connect. All connections of a process that are made through one transport share one link, and hear each other
/// directly.
///
/// The link has a thread of its own, from the first connection until the last one is closed: what other work a program
/// gives to shared event loops would delay announcements, and a slow `receive` would delay that work.
public final class UnixSocketTransport: ReplicationTransport {
    /// The folder in which the socket is.
    public let directory: String

    private let link: SharedLink
    /// The file that the folder is beside.
    private let database: String?
    private let logger: Logger

    /// - Parameter directory: a folder that only its owner can enter (mode 0700). It is made when it is not there,
    ///   though not the folders above it.
    public convenience init(
        directory: String, configuration: SocketConfiguration = SocketConfiguration(),
        logger: Logger = Logger(label: "tidemark.replication")
    ) {
        self.init(directory: directory, besideDatabase: nil, configuration: configuration, logger: logger)
    }

    private init(
        directory: String, besideDatabase database: String?, configuration: SocketConfiguration, logger: Logger
    ) {
        self.directory = directory
        self.database = database
        self.logger = logger
        link = SharedLink { counts in
            SocketLink(configuration: configuration, serverName: .tidemark, logger: logger, counts: counts) { node in
                UnixMeeting(node: node, path: directory, besideDatabase: database)
            }
        }
    }

    /// Uses the folder beside a database file: its path followed by `-tidemark`.
    ///
    /// Symbolic links in the path are followed, so that all who open the same file meet. When other users can enter the
    /// folder, as where a container platform opens all folders of a volume to a group, it is made its owner's alone
    /// again. Root may use it too; what root makes in it belongs to the owner.
    ///
    /// - Throws: ``SocketFolderError`` when the folder of the database cannot be entered.
    public convenience init(
        besideDatabase path: String, configuration: SocketConfiguration = SocketConfiguration(),
        logger: Logger = Logger(label: "tidemark.replication")
    ) throws {
        let directory = try SocketFolder.path(besideDatabase: path)
        self.init(directory: directory, besideDatabase: path, configuration: configuration, logger: logger)
    }

    /// The folder that a path names, which may be that of the socket itself; nil where it is blank.
    package static func directory(naming path: Substring) -> String? {
        // The transport takes the folder that the socket is in.
        if path == "socket" || path == "socket-2" { return "." }
        for name in ["/socket-2", "/socket"] where path.hasSuffix(name) { return String(path.dropLast(name.count)) }
        return path.allSatisfy(\.isWhitespace) ? nil : String(path)
    }

    /// Whether the folder is the one beside a database file: only programs that have that file open meet there.
    public var belongsToDatabase: Bool { database != nil }

    /// What was skipped or left out so far.
    public var counts: SocketCounts { link.counts.current }

    /// What ended the link, or kept it from being made, the last time; nil once it is there.
    public var lastProblem: SocketProblem? { link.counts.lastProblem }

    /// Takes part until the connection is closed.
    ///
    /// Returns without waiting for other processes; `receive` is told `ReplicationEvent.connected` when the link is
    /// there. The connection has to be closed: the transport's thread goes on until the last one is.
    ///
    /// - Throws: ``SocketFolderError`` when the folder cannot be made or entered, belongs to another user, or others can
    ///   enter it. When it becomes so later, the transport logs that and goes on trying.
    public func connect(
        as name: InstanceName, receive: @escaping @Sendable (ReplicationEvent) -> Void
    ) async throws -> any ReplicationConnection {
        try SocketFolder(path: directory, besideDatabase: database).reportFormerMode(to: logger)
        return await link.connect(as: name, receive: receive)
    }
}
