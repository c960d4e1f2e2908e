extension Writer {
    /// The writer as a field of a replication command: `p1#3`, and a name alone for epoch 0, which stands for a peer
    /// that speaks without an epoch.
    public var wireName: String {
        var bytes: [UInt8] = []
        bytes.append(wireName: self)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Reads what ``wireName`` writes, and nothing else; nil when it is no such name.
    init?(wireName text: String) {
        guard !text.utf8.contains(UInt8(ascii: " ")) else { return nil }
        let bytes = Array(text.utf8)
        var fields = FieldReader()
        guard let writer = try? fields.writer(bytes.span) else { return nil }
        self = writer
    }
}

extension [UInt8] {
    mutating func append(wireName writer: Writer) {
        precondition(writer.epoch >= 0, "\(writer): an epoch is never negative, no peer could read it")
        append(utf8: writer.instance.rawValue)
        if writer.epoch != 0 {
            append(UInt8(ascii: "#"))
            append(decimal: Int64(writer.epoch))
        }
    }

    mutating func append(wireName speaker: Speaker) {
        append(wireName: speaker.writer)
        guard let nonce = speaker.nonce else { return }
        precondition(nonce > 0 && speaker.writer.epoch > 0, "\(speaker): no peer could read it")
        append(UInt8(ascii: "."))
        append(decimal: nonce)
    }

    /// The number in its shortest form.
    mutating func append(decimal number: Int64) {
        if number < 0 { append(UInt8(ascii: "-")) }
        var rest = number.magnitude
        var power: UInt64 = 10
        var digits = 1
        // The largest number has 19 digits; the next power of ten after that would not fit.
        while digits < 19 && rest >= power {
            power *= 10
            digits += 1
        }
        append(contentsOf: repeatElement(UInt8(ascii: "0"), count: digits))
        var offset = count
        var bytes = mutableSpan
        while rest > 0 {
            offset -= 1
            bytes[offset] += UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        }
    }

    mutating func append(utf8 text: String) {
        var text = text
        text.withUTF8 { append(contentsOf: $0) }
    }
}
