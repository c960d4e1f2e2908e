public import TidemarkCore

/// `USER_IP user_id json`: from where a user was seen.
///
/// On the wire the rest is a JSON array of the access token, the IP address, the user agent, the device's ID or null,
/// and when it was seen; it is kept as it came. Whoever has the access token can act as the user, so it is in
/// ``accessToken`` and in the line of the command, and in no description, reflection or error.
public struct UserIP: Hashable, Sendable {
    /// The user's ID.
    public let user: FieldText
    /// A secret: anyone who has it can act as the user. Keep it out of logs.
    public let accessToken: String
    /// The address, as the other side writes it.
    public let ip: String
    /// What the user's client calls itself.
    public let userAgent: String
    /// The device's ID; nil where the user has none.
    public let device: String?
    /// In milliseconds since 1970.
    public let lastSeenMilliseconds: Int64
    /// Holds the access token: for printing the line only.
    let json: JSONText

    /// - Throws: ``InvalidJSONText/unexpectedValue(_:)`` when it is not an array of the access token, the IP address,
    ///   the user agent, the device's ID or null, and a time.
    public init(user: FieldText, validating json: JSONText) throws(InvalidJSONText) {
        guard let elements = JSONElements.array(json), elements.count == 5,
            let accessToken = JSONElements.string(elements[0]), let ip = JSONElements.string(elements[1]),
            let userAgent = JSONElements.string(elements[2]), let lastSeen = JSONElements.integer(elements[4])
        else { throw Self.unexpected }
        if JSONElements.isNull(elements[3]) {
            device = nil
        } else {
            guard let name = JSONElements.string(elements[3]) else { throw Self.unexpected }
            device = name
        }
        self.user = user
        self.accessToken = accessToken
        self.ip = ip
        self.userAgent = userAgent
        self.lastSeenMilliseconds = lastSeen
        self.json = json
    }

    /// Makes the JSON that goes on the wire; the texts may hold anything.
    public init(
        user: FieldText, accessToken: String, ip: String, userAgent: String, device: String?,
        lastSeenMilliseconds: Int64
    ) {
        json = JSONElements.array(of: [
            .string(accessToken), .string(ip), .string(userAgent), device.map { .string($0) } ?? .null,
            .integer(lastSeenMilliseconds),
        ])
        self.user = user
        self.accessToken = accessToken
        self.ip = ip
        self.userAgent = userAgent
        self.device = device
        self.lastSeenMilliseconds = lastSeenMilliseconds
    }

    private static var unexpected: InvalidJSONText {
        .unexpectedValue("an array of access token, IP address, user agent, device ID or null, and a time")
    }

    /// Equal when their lines are: the other fields follow from the JSON.
    public static func == (left: Self, right: Self) -> Bool { left.user == right.user && left.json == right.json }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(user)
        hasher.combine(json)
    }
}

extension UserIP: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var description: String { "\(user) [access token, address and device withheld]" }

    public var debugDescription: String { description }

    public var customMirror: Mirror { Mirror(self, children: ["user": user]) }
}

/// `USER_SYNC instance_id user_id device_id start-or-end last_sync_ms`: on one instance, a user's device began or
/// ceased to sync.
public struct UserSync: Hashable, Sendable {
    /// What has happened; the raw value is the word on the wire.
    public enum State: String, Hashable, Sendable {
        /// The device began to sync.
        case start
        /// It ceased to.
        case end
    }

    /// Names one run of an instance; it makes the ID up when it starts. It is not its instance name.
    public let instanceID: FieldText
    /// The user's ID.
    public let user: FieldText
    /// Nil where the user syncs without a device, on the wire `None`.
    public let device: FieldText?
    /// Whether the sync began or ended.
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

    /// For a device whose name was checked.
    package init(
        instanceID: FieldText, user: FieldText, checkedDevice device: FieldText?, state: State,
        lastSyncMilliseconds: Int64
    ) {
        self.instanceID = instanceID
        self.user = user
        self.device = device
        self.state = state
        self.lastSyncMilliseconds = lastSyncMilliseconds
    }

    package static let noDevice = "None"
}

/// `CLEAR_USER_SYNC instance_id`: nobody syncs on that run of an instance any more.
public struct ClearUserSync: Hashable, Sendable {
    /// Names the run, as in ``UserSync/instanceID``.
    public let instanceID: FieldText

    /// For the instance itself, when it stops in order.
    public init(instanceID: FieldText) {
        self.instanceID = instanceID
    }
}

/// `FEDERATION_ACK instance token`: that instance has sent on everything up to the token.
public struct FederationAck: Hashable, Sendable {
    /// Which instance.
    public let writer: Writer
    /// Everything up to it was sent on.
    public let token: StreamID

    /// Nothing is checked beyond what the types say.
    public init(writer: Writer, token: StreamID) {
        self.writer = writer
        self.token = token
    }
}

/// `LOCK_RELEASED json`: an instance released a lock, so those that wait for it may try again.
///
/// On the wire it is a JSON array of the instance, the lock's name and the lock's key; it is kept as it came.
public struct LockReleased: Hashable, Sendable {
    /// What goes on the wire.
    public let json: JSONText
    /// The instance that released it.
    public let writer: Writer
    /// What kind of lock it is.
    public let lockName: String
    /// Which lock of that kind.
    public let lockKey: String

    /// - Throws: ``InvalidJSONText/unexpectedValue(_:)`` when it is not an array of the instance, the lock's name and
    ///   the lock's key.
    public init(validating json: JSONText) throws(InvalidJSONText) {
        guard let elements = JSONElements.array(json), elements.count == 3,
            let instance = JSONElements.string(elements[0]), let writer = Writer(wireName: instance),
            let lockName = JSONElements.string(elements[1]), let lockKey = JSONElements.string(elements[2])
        else {
            throw .unexpectedValue("an array of an instance, a lock's name and a lock's key")
        }
        self.json = json
        self.writer = writer
        self.lockName = lockName
        self.lockKey = lockKey
    }

    /// Makes the JSON that goes on the wire; the texts may hold anything.
    public init(writer: Writer, lockName: String, lockKey: String) {
        json = JSONElements.array(of: [.string(writer.wireName), .string(lockName), .string(lockKey)])
        self.writer = writer
        self.lockName = lockName
        self.lockKey = lockKey
    }

    /// Equal when their lines are: the fields follow from the JSON.
    public static func == (left: Self, right: Self) -> Bool { left.json == right.json }

    public func hash(into hasher: inout Hasher) { hasher.combine(json) }
}
