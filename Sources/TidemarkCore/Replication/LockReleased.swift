/// `LOCK_RELEASED json`: an instance released a lock, so whoever waits for it may try again.
///
/// On the wire it is a JSON array of the instance, the lock's name and the lock's key; it is kept as it came.
public struct LockReleased: Hashable, Sendable {
    public let json: JSONText
    public let writer: Writer
    public let lockName: String
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
