/// For a participant that has nothing to catch up with: the first command that it hears on a connection shows that the
/// connection works, and only then may the transport reset its back-off.
package struct FirstCommand: Sendable {
    private var connection: (any ReplicationConnection)?
    private var hasHeard = false

    package init() {}

    /// The connection is known from now on: it may have been heard before that.
    package mutating func attach(_ connection: any ReplicationConnection) { self.connection = connection }

    package mutating func detach() { connection = nil }

    package mutating func connected() { hasHeard = false }

    /// The connection to tell that its participant has caught up, once for each time that it was made.
    package mutating func heard() -> (any ReplicationConnection)? {
        guard let connection, !hasHeard else { return nil }
        hasHeard = true
        return connection
    }
}
