extension ReplicationCommand.Kind {
    /// The command with that name; nil when there is none.
    ///
    /// Length and first byte leave at most one candidate, which saves comparing every line with every name.
    init?(_ line: Span<UInt8>, _ name: Range<Int>) {
        guard !name.isEmpty, let candidate = Self.candidate(length: name.count, first: line[name.lowerBound]) else {
            return nil
        }
        guard line.extracting(name).equals(candidate.rawValue) else { return nil }
        self = candidate
    }

    private static func candidate(length: Int, first: UInt8) -> Self? {
        switch (length, first) {
        case (4, UInt8(ascii: "N")): .name
        case (4, UInt8(ascii: "P")): .ping
        case (5, UInt8(ascii: "E")): .error
        case (5, UInt8(ascii: "R")): .rdata
        case (6, UInt8(ascii: "S")): .server
        case (7, UInt8(ascii: "U")): .userIP
        case (8, UInt8(ascii: "P")): .position
        case (9, UInt8(ascii: "R")): .replicate
        case (9, UInt8(ascii: "U")): .userSync
        case (11, UInt8(ascii: "C")): .cancelTask
        case (13, UInt8(ascii: "L")): .lockReleased
        case (14, UInt8(ascii: "F")): .federationAck
        case (15, UInt8(ascii: "C")): .clearUserSync
        case (15, UInt8(ascii: "N")): .newActiveTask
        case (16, UInt8(ascii: "R")): .remoteServerUp
        default: nil
        }
    }
}

extension Span<UInt8> {
    func equals(_ text: String) -> Bool {
        var text = text
        return text.withUTF8 { bytes in
            guard bytes.count == count else { return false }
            for offset in indices where bytes[offset] != self[offset] { return false }
            return true
        }
    }
}
