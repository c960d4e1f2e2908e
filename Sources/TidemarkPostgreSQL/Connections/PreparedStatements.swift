import CLibpq

/// Which statements a connection keeps on the server, so that they are parsed and planned once: that took the server longer than
/// a small group itself.
///
/// Only what is sent twice is kept, and no more than a bound. The name of a statement follows from its text, so that nobody who
/// shares a server's connection by mistake can mean another statement by it.
struct PreparedStatements {
    /// How a statement is sent.
    enum Use: Hashable {
        /// With its text, and nothing of it stays.
        case unnamed
        /// It has to be prepared under this name first.
        case unprepared(String)
        /// By this name alone.
        case prepared(String)
    }

    private struct Key: Hashable {
        let sql: String
        let types: [Oid]
    }

    /// What is kept for a connection, at most; what comes later is sent with its text.
    static let limit = 64

    private var uses: [Key: Use] = [:]
    private var isGivenUp: Bool

    /// - Parameter isUsed: false where a pooler lends the server's connections by the transaction.
    init(isUsed: Bool) { isGivenUp = !isUsed }

    /// Parameters have types, which an unknown one takes from where it is: so a statement is another one with others.
    mutating func use(_ sql: String, _ types: [Oid]) -> Use {
        if isGivenUp || types.isEmpty { return .unnamed }
        let key = Key(sql: sql, types: types)
        if let use = uses[key] { return use }
        if uses.count < Self.limit { uses[key] = .unparsed(sql, types) }
        return .unnamed
    }

    /// The server has it from now on.
    mutating func prepared(_ sql: String, _ types: [Oid]) {
        let key = Key(sql: sql, types: types)
        if case .unprepared(let name) = uses[key] { uses[key] = .prepared(name) }
    }

    /// Nothing is kept any more: somebody else has the connection too, or has taken away what was there.
    mutating func giveUp() {
        isGivenUp = true
        uses = [:]
    }

    /// Whether the server refused a statement because of its having been prepared: it is not there, it is there already, or what
    /// it gives has changed.
    static func isRefused(_ message: ServerMessage) -> Bool {
        switch message.sqlState {
        case "26000", "42P05": true
        case "0A000": message.message.contains("cached plan")
        default: false
        }
    }
}

extension PreparedStatements.Use {
    /// The name has the function that is called, for people who look at what the server does, and FNV-1a twice over the text.
    fileprivate static func unparsed(_ sql: String, _ types: [Oid]) -> Self {
        var hashes: (UInt64, UInt64) = (0xcbf2_9ce4_8422_2325, 0x8422_2325_cbf2_9ce4)
        func add(_ byte: UInt8) {
            hashes.0 = (hashes.0 ^ UInt64(byte)) &* 0x100_0000_01b3
            hashes.1 = (hashes.1 ^ UInt64(byte ^ 0x55)) &* 0x100_0000_01b3
        }
        for byte in sql.utf8 { add(byte) }
        for type in types { for shift in [0, 8, 16, 24] { add(UInt8(truncatingIfNeeded: type >> shift)) } }
        let called = sql.firstMatch(of: /\.([a-z_]{1,24}_[0-9])\(/).map { "_\($0.1)" } ?? ""
        return .unprepared("tm\(called)_\(String(hashes.0, radix: 36))\(String(hashes.1, radix: 36))")
    }
}
