extension Writer {
    /// The writer as a field of a replication command: `p1#3`, and a name alone for epoch 0, which stands for a peer
    /// that speaks without an epoch.
    public var wireName: String {
        var bytes: [UInt8] = []
        bytes.append(wireName: self)
        return String(decoding: bytes, as: UTF8.self)
    }
}

extension [UInt8] {
    mutating func append(wireName writer: Writer) {
        precondition(writer.epoch >= 0, "\(writer): an epoch is never negative, no peer could read it")
        append(contentsOf: writer.instance.rawValue.utf8)
        if writer.epoch != 0 {
            append(UInt8(ascii: "#"))
            append(decimal: Int64(writer.epoch))
        }
    }

    /// The number in its shortest form.
    mutating func append(decimal number: Int64) {
        if number < 0 { append(UInt8(ascii: "-")) }
        var rest = number.magnitude
        let start = count
        repeat {
            append(UInt8(ascii: "0") + UInt8(rest % 10))
            rest /= 10
        } while rest > 0
        self[start...].reverse()
    }
}
