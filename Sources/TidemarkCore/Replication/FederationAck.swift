/// `FEDERATION_ACK instance token`: that instance has sent on everything up to the token.
public struct FederationAck: Hashable, Sendable {
    public let writer: Writer
    public let token: StreamID

    public init(writer: Writer, token: StreamID) {
        self.writer = writer
        self.token = token
    }
}
