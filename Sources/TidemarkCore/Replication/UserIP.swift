/// `USER_IP user_id json`: from where a user was seen.
///
/// On the wire the rest is a JSON array of the access token, the IP address, the user agent, the device's ID or null,
/// and when it was seen; it is kept as it came. Whoever has the access token can act as the user, so it is in
/// ``accessToken`` and in the line of the command, and in no description, reflection or error.
public struct UserIP: Hashable, Sendable {
    public let user: FieldText
    public let accessToken: String
    public let ip: String
    public let userAgent: String
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
