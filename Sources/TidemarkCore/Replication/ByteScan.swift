/// Looks for bytes, eight at a time: an exclusive or leaves zero where a byte is the one looked for, and subtracting one
/// from each byte borrows into the top bit of those below ("Bit Twiddling Hacks" by Sean Eron Anderson, "Determine if a
/// word has a zero byte" and "has a byte less than n"). The lowest bit found is exact; those above it may be due to
/// borrowing and are not looked at.
///
/// All reads are checked against the bounds of the span.
enum ByteScan {
    private static let ones: UInt64 = 0x0101_0101_0101_0101
    private static let tops: UInt64 = 0x8080_8080_8080_8080

    /// The first offset in `start..<end` with that byte, or `end`.
    static func first(_ byte: UInt8, _ bytes: Span<UInt8>, from start: Int, to end: Int) -> Int {
        let words = bytes.bytes
        let pattern = ones &* UInt64(byte)
        var offset = start
        while end &- offset >= 8 {
            let found = zeros(word(words, offset) ^ pattern)
            if found != 0 { return offset &+ found.trailingZeroBitCount >> 3 }
            offset &+= 8
        }
        while offset < end && bytes[offset] != byte { offset &+= 1 }
        return offset
    }

    /// The first offset in `start..<end` with a byte that a JSON string does not just contain (a quote, a backslash or
    /// a control character), or `end`.
    static func firstSpecialInString(_ bytes: Span<UInt8>, from start: Int, to end: Int) -> Int {
        let words = bytes.bytes
        var offset = start
        while end &- offset >= 8 {
            let word = word(words, offset)
            let control = (word &- ones &* 0x20) & ~word & tops
            let quote = zeros(word ^ ones &* UInt64(UInt8(ascii: "\"")))
            let backslash = zeros(word ^ ones &* UInt64(UInt8(ascii: "\\")))
            let found = control | quote | backslash
            if found != 0 { return offset &+ found.trailingZeroBitCount >> 3 }
            offset &+= 8
        }
        while offset < end {
            let byte = bytes[offset]
            if byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") { break }
            offset &+= 1
        }
        return offset
    }

    /// The top bit of each byte that is zero, up to the lowest such byte.
    private static func zeros(_ word: UInt64) -> UInt64 { (word &- ones) & ~word & tops }

    /// The eight bytes from the offset on, the first one lowest. "Unsafe" is reading a type that not every pattern of
    /// bits is a value of; each is of an integer.
    private static func word(_ bytes: RawSpan, _ offset: Int) -> UInt64 {
        UInt64(littleEndian: bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }
}
