/// Goes through the fields of a line, which single spaces separate. It holds places and not the line itself, so that
/// nothing of the line outlives the call that parses it.
struct FieldReader {
    typealias Problem = InvalidReplicationCommand.Problem

    /// Where the next field begins; nil when the line ended without a space after the last field.
    private var next: Int? = 0

    /// The next field; it may be empty. Nil when there is none.
    mutating func range(_ line: Span<UInt8>) -> Range<Int>? {
        guard let start = next else { return nil }
        var end = start
        while end < line.count && line[end] != UInt8(ascii: " ") { end += 1 }
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
        let text = try Self.text(line, field(line, "stream"), "stream")
        do { return try StreamName(validating: text) } catch { throw .name("stream", error) }
    }

    /// An instance with its epoch, `p1#3`, or a name alone, which has epoch 0. `p1#0` is not how that is written.
    mutating func writer(_ line: Span<UInt8>) throws(Problem) -> Writer {
        let range = try field(line, "instance")
        var mark = range.lowerBound
        while mark < range.upperBound && line[mark] != UInt8(ascii: "#") { mark += 1 }
        var epoch = 0
        if mark < range.upperBound {
            guard let number = Self.number(line, mark + 1..<range.upperBound), number > 0,
                let exact = Int(exactly: number)
            else { throw .invalidEpoch }
            epoch = exact
        }
        let text = try Self.text(line, range.lowerBound..<mark, "instance")
        do { return Writer(try InstanceName(validating: text), epoch: epoch) } catch { throw .name("instance", error) }
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
        let text = line.extracting(range).withUnsafeBufferPointer { String(validating: $0, as: UTF8.self) }
        guard let text else { throw .notUTF8(field: name.description) }
        return text
    }

    /// A number of 64 bits in its shortest form, or nil.
    static func number(_ line: Span<UInt8>, _ range: Range<Int>) -> Int64? {
        var offset = range.lowerBound
        let isNegative = !range.isEmpty && line[offset] == UInt8(ascii: "-")
        if isNegative { offset += 1 }
        let first = offset
        // Counted downwards, because the least number has no positive counterpart.
        var number: Int64 = 0
        while offset < range.upperBound {
            guard line[offset].isDigit else { return nil }
            let (shifted, isTooLarge) = number.multipliedReportingOverflow(by: 10)
            let digit = Int64(line[offset] - UInt8(ascii: "0"))
            let (sum, isTooLow) = shifted.subtractingReportingOverflow(digit)
            if isTooLarge || isTooLow { return nil }
            number = sum
            offset += 1
        }
        let count = offset - first
        guard count > 0, line[first] != UInt8(ascii: "0") || (count == 1 && !isNegative) else { return nil }
        if isNegative { return number }
        return number == .min ? nil : -number
    }
}

extension InvalidReplicationCommand.Problem {
    /// What a name's `init(validating:)` threw.
    fileprivate static func name(_ field: String, _ error: any Error) -> Self {
        guard let error = error as? InvalidName else {
            preconditionFailure("validating a name throws InvalidName only, not \(error)")
        }
        return .invalidName(field: field, error)
    }
}
