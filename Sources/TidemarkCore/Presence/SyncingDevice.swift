/// Who syncs with what: a user, on one of their devices.
public struct SyncingDevice: Hashable, Sendable, CustomStringConvertible {
    public let user: FieldText
    /// Nil where the user syncs without a device.
    public let device: FieldText?

    /// - Throws: ``InvalidCommandText/reserved(_:)`` for a device called `None`: on the wire that is no device.
    public init(user: FieldText, device: FieldText?) throws(InvalidCommandText) {
        if device?.text == UserSync.noDevice { throw .reserved(UserSync.noDevice) }
        self.user = user
        self.device = device
    }

    init(_ sync: UserSync) {
        user = sync.user
        device = sync.device
    }

    public var description: String { device.map { "\(user) on \($0)" } ?? "\(user)" }
}
