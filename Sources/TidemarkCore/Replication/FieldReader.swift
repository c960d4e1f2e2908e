/// Goes through the fields of a line, which single spaces separate. It holds places and not the line itself, so that
/// nothing of the line outlives the call that parses it.
struct FieldReader {
    typealias Problem = InvalidReplicationCommand.Problem

    /// Where the next field begins; nil when the line ended without a space after the last field.
    private var next: Int? = 0

    /// The next field; it may be empty. Nil when there is none.
    mutating func range(_ line: Span<UInt8>) -> Range<Int>? {
        guard let start = next else { return nil }
        let end = ByteScan.first(UInt8(ascii: " "), line, from: start, to: line.count)
        next = end < line.count ? end + 1 : nil
        return start..<end
    }

    /// The next field, which must be there and have at least one byte.
    mutating func field(_ line: Span<UInt8>, _ name: StaticString) throws(Problem) -> Range<Int> {
        guard let range = range(line), !range.isEmpty else { throw .missing(field: name.description) }
        return range
    }

    /// Everything that is left of the line.
    mutating func rest(_ line: Span<UInt8>) -> Range<Int> {
        defer { next = nil }
        return (next ?? line.count)..<line.count
    }

    /// Throws when anything but one space at the end is left.
    func end(_ line: Span<UInt8>) throws(Problem) {
        if let next, next < line.count { throw .tooManyFields }
    }

    mutating func stream(_ line: Span<UInt8>) throws(Problem) -> StreamName {
        let range = try field(line, "stream")
        do { return try StreamName(validating: line.extracting(range)) } catch {
            throw .invalidName(field: "stream", error)
        }
    }

    /// An instance with its epoch, `p1#3`, or a name alone, which has epoch 0. `p1#0` is not how that is written. Other
    /// software has other names, such as `a/b` or `a#b`: its instances are heard like others.
    mutating func writer(_ line: Span<UInt8>) throws(Problem) -> Writer {
        try Self.writer(line, try field(line, "instance"))
    }

    /// The same, perhaps with its nonce: `p1#3.5208`. A point in the name itself, before the epoch, is part of the name.
    mutating func speaker(_ line: Span<UInt8>) throws(Problem) -> Speaker {
        let range = try field(line, "instance")
        let mark = Self.endOfName(line, range)
        let point = ByteScan.first(UInt8(ascii: "."), line, from: mark, to: range.upperBound)
        guard point < range.upperBound else { return Speaker(try Self.writer(line, range), nonce: nil) }
        let writer = try Self.writer(line, range.lowerBound..<point)
        guard let nonce = Self.number(line, point + 1..<range.upperBound), nonce > 0 else { throw .invalidNonce }
        return Speaker(writer, nonce: nonce)
    }

    private static func writer(_ line: Span<UInt8>, _ range: Range<Int>) throws(Problem) -> Writer {
        let mark = endOfName(line, range)
        var epoch = 0
        if mark < range.upperBound {
            guard let number = number(line, mark + 1..<range.upperBound), number > 0,
                let exact = Int(exactly: number)
            else { throw .invalidEpoch }
            epoch = exact
        }
        do {
            return Writer(try InstanceName(heard: line.extracting(range.lowerBound..<mark)), epoch: epoch)
        } catch { throw .invalidName(field: "instance", error) }
    }

    /// Where the name of an instance ends: before a `#` with what looks like a number after it, or nothing.
    private static func endOfName(_ line: Span<UInt8>, _ range: Range<Int>) -> Int {
        let mark = ByteScan.first(UInt8(ascii: "#"), line, from: range.lowerBound, to: range.upperBound)
        guard mark + 1 < range.upperBound else { return mark }
        return InvalidName.mayBeginEpoch(line[mark + 1]) ? mark : range.upperBound
    }

    mutating func number(_ line: Span<UInt8>, _ name: StaticString) throws(Problem) -> Int64 {
        guard let number = Self.number(line, try field(line, name)) else {
            throw .invalidNumber(field: name.description)
        }
        return number
    }

    mutating func streamID(_ line: Span<UInt8>, _ name: StaticString) throws(Problem) -> StreamID {
        StreamID(try number(line, name))
    }

    /// JSON to the end of the line.
    mutating func json(_ line: Span<UInt8>, _ name: StaticString) throws(Problem) -> JSONText {
        let range = rest(line)
        if range.isEmpty { throw .missing(field: name.description) }
        do { try JSONSyntax.check(line, range) } catch { throw .invalidJSON(field: name.description, error) }
        return JSONText(checked: try Self.text(line, range, name))
    }

    /// Throws unless the bytes are UTF-8.
    static func text(_ line: Span<UInt8>, _ range: Range<Int>, _ name: StaticString) throws(Problem) -> String {
        guard let text = String(exactly: line.extracting(range)) else { throw .notUTF8(field: name.description) }
        return text
    }

    /// A number of 64 bits in its shortest form, or nil.
    static func number(_ line: Span<UInt8>, _ range: Range<Int>) -> Int64? {
        guard let first = range.first else { return nil }
        let isNegative = line[first] == UInt8(ascii: "-")
        let digits = (isNegative ? first + 1 : first)..<range.upperBound
        guard let leading = digits.first, digits.count <= 19 else { return nil }
        if line[leading] == UInt8(ascii: "0") && (digits.count > 1 || isNegative) { return nil }
        // 19 digits always fit: 10^19 is less than 2^64.
        var magnitude: UInt64 = 0
        for offset in digits {
            let digit = line[offset] &- UInt8(ascii: "0")
            if digit > 9 { return nil }
            magnitude = magnitude &* 10 &+ UInt64(digit)
        }
        // The least number has no positive counterpart.
        let limit = isNegative ? Int64.min.magnitude : Int64.max.magnitude
        if magnitude > limit { return nil }
        return Int64(truncatingIfNeeded: isNegative ? 0 &- magnitude : magnitude)
    }
}
