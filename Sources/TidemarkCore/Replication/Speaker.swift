/// A writer as it speaks: with the number that was drawn when it joined, `p1#3.5208`.
///
/// A promise is about one life of one writer in one database. Names and epochs are the same in many databases, and in one
/// that was put back; the number is not.
public struct Speaker: Hashable, Sendable, CustomStringConvertible {
    public let writer: Writer
    /// At least 1; nil for a peer that speaks without one.
    public let nonce: Int64?

    public init(_ writer: Writer, nonce: Int64?) {
        self.writer = writer
        self.nonce = nonce
    }

    public var description: String { nonce.map { "\(writer).\($0)" } ?? "\(writer)" }
}
