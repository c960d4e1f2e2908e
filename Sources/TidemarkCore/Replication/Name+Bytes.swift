extension InstanceName {
    /// A name as other software may have it: with `#` and `/` too. No instance of this package can be given one.
    ///
    /// - Throws: ``InvalidName``.
    init(heard bytes: Span<UInt8>) throws(InvalidName) {
        let name = String(repairing: bytes)
        if !InvalidName.plainlyAllows(bytes) { try InvalidName.checkHeard(name) }
        rawValue = name
    }

    /// The same of a text.
    ///
    /// - Throws: ``InvalidName``.
    init(heard name: String) throws(InvalidName) {
        try InvalidName.checkHeard(name)
        rawValue = name
    }
}

extension StreamName {
    /// - Throws: ``InvalidName``.
    init(validating bytes: Span<UInt8>) throws(InvalidName) {
        let name = String(repairing: bytes)
        if !InvalidName.plainlyAllows(bytes) { try InvalidName.check(name) }
        rawValue = name
    }
}

extension InvalidName {
    /// Whether the bytes are a name, for the two names on every line: several times as fast as looking through a
    /// string. What it refuses goes the long way, which says what is wrong.
    fileprivate static func plainlyAllows(_ bytes: Span<UInt8>) -> Bool {
        if bytes.isEmpty || bytes.count > 128 { return false }
        for offset in bytes.indices {
            let byte = bytes[offset]
            if byte <= 0x20 || byte >= 0x7F || byte == UInt8(ascii: "#") || byte == UInt8(ascii: "/") { return false }
        }
        return true
    }
}

extension String {
    /// The text of the bytes; what is not UTF-8 becomes U+FFFD.
    init(repairing bytes: Span<UInt8>) {
        // The buffer is read before the call returns, and no longer.
        self = bytes.withUnsafeBufferPointer { String(decoding: $0, as: UTF8.self) }
    }

    /// The text of the bytes; nil when they are not UTF-8.
    init?(exactly bytes: Span<UInt8>) {
        self.init(repairing: bytes)
        var union: UInt8 = 0
        for offset in bytes.indices { union |= bytes[offset] }
        if union < 0x80 { return }
        // Bytes that were repaired are not what they were: U+FFFD is UTF-8, and they were not.
        guard utf8.count == bytes.count else { return nil }
        var offset = 0
        for byte in utf8 {
            if byte != bytes[offset] { return nil }
            offset += 1
        }
    }
}
