/// `USER_SYNC instance_id user_id device_id start-or-end last_sync_ms`: on one instance, a user's device began or
/// ceased to sync.
public struct UserSync: Hashable, Sendable {
    public enum State: String, Hashable, Sendable {
        case start
        case end
    }

    /// Names one run of an instance; it makes the ID up when it starts. It is not its instance name.
    public let instanceID: FieldText
    public let user: FieldText
    /// Nil where the user syncs without a device, on the wire `None`.
    public let device: FieldText?
    public let state: State
    /// When the user was last seen to sync, in milliseconds since 1970.
    public let lastSyncMilliseconds: Int64

    /// - Throws: ``InvalidCommandText/reserved(_:)`` for a device called `None`: on the wire that is no device.
    public init(
        instanceID: FieldText, user: FieldText, device: FieldText?, state: State, lastSyncMilliseconds: Int64
    ) throws(InvalidCommandText) {
        if device?.text == Self.noDevice { throw .reserved(Self.noDevice) }
        self.instanceID = instanceID
        self.user = user
        self.device = device
        self.state = state
        self.lastSyncMilliseconds = lastSyncMilliseconds
    }

    static let noDevice = "None"
}

/// `CLEAR_USER_SYNC instance_id`: nobody syncs on that run of an instance any more.
public struct ClearUserSync: Hashable, Sendable {
    public let instanceID: FieldText

    public init(instanceID: FieldText) {
        self.instanceID = instanceID
    }
}
