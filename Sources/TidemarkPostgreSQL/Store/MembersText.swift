import Tidemark

/// The members of a stream as `members_1` gives them: a line each, with instance, epoch, position and nonce. And its eras, as
/// `eras_1` does.
enum MembersText {
    static func membership(_ text: String, version: Int64, incarnation: Int64, eras: String) throws -> Membership {
        var members: [Writer: StreamID] = [:]
        var nonces: [Writer: Int64] = [:]
        for line in text.split(separator: "\n") {
            let fields = line.split(separator: " ")
            guard fields.count == 4, let epoch = Int(fields[1]), let position = Int64(fields[2]),
                let nonce = Int64(fields[3])
            else { throw InvalidMember(text: String(line)) }
            let writer = Writer(try InstanceName(validating: String(fields[0])), epoch: epoch)
            members[writer] = StreamID(position)
            // On the wire there is none below 1.
            if nonce > 0 { nonces[writer] = nonce }
        }
        return Membership(
            members: members, version: Int(version), nonces: nonces, incarnation: Incarnation(incarnation),
            eras: try self.eras(eras))
    }

    static func eras(_ text: String) throws -> [Era] {
        try text.split(separator: "\n").map { line in
            let fields = line.split(separator: " ").map { Int64($0) }
            guard fields.count == 2, let incarnation = fields[0], let after = fields[1] else {
                throw InvalidMember(text: String(line))
            }
            return Era(Incarnation(incarnation), after: StreamID(after))
        }
    }
}

/// A line that is not of the form of a member, or of an era.
struct InvalidMember: Error, CustomStringConvertible {
    let text: String

    var description: String { "\"\(text)\" is neither a member with its epoch, position and nonce nor an era" }
}
