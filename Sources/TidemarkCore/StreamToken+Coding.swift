/// A text that is not a stream token.
public struct InvalidStreamToken: Error, Hashable, Sendable, CustomStringConvertible {
    /// What should have been one.
    public let text: String

    public var description: String {
        "\"\(text)\" is not a stream token, such as s56 or m56~2.58~3.59"
    }
}

extension StreamToken {
    /// Writes `s56` for a minimum alone, and `m56~2.58~3.59` where writers are ahead: the minimum, then pairs of the
    /// number that `instanceID` gives a writer and its position, ordered by that number.
    ///
    /// - Throws: what `instanceID` throws.
    public func encoded(instanceID: (InstanceName) throws -> Int) throws -> String {
        if ahead.isEmpty { return "s\(minimum)" }
        let entries = try ahead.map { (try instanceID($0.key), $0.value) }.sorted { $0.0 < $1.0 }
        return entries.reduce(into: "m\(minimum)") { $0 += "~\($1.0).\($1.1)" }
    }

    /// Reads what ``encoded(instanceID:)`` writes; numbers must be written canonically, and no writer comes twice.
    ///
    /// - Throws: ``InvalidStreamToken``, or what `instance` throws for a number that it does not know.
    public init(decoding text: String, instance: (Int) throws -> InstanceName) throws {
        func number(_ digits: Substring) throws -> Int64 {
            guard let value = Int64(digits), String(value) == digits else { throw InvalidStreamToken(text: text) }
            return value
        }
        let parts = text.dropFirst().split(separator: "~", omittingEmptySubsequences: false)
        // A vector clock without entries, `m56`, is read too; it is never written.
        guard let first = parts.first, text.hasPrefix("m") || (text.hasPrefix("s") && parts.count == 1) else {
            throw InvalidStreamToken(text: text)
        }
        var ahead: [InstanceName: StreamID] = [:]
        for part in parts.dropFirst() {
            let pair = part.split(separator: ".", omittingEmptySubsequences: false)
            guard pair.count == 2, let id = Int(exactly: try number(pair[0])) else {
                throw InvalidStreamToken(text: text)
            }
            let position = StreamID(try number(pair[1]))
            guard ahead.updateValue(position, forKey: try instance(id)) == nil else {
                throw InvalidStreamToken(text: text)
            }
        }
        self.init(minimum: StreamID(try number(first)), ahead: ahead)
    }
}
