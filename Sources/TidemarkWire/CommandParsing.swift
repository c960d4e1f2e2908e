import TidemarkCore

extension ReplicationCommand {
    /// Reads one line, without its line break.
    ///
    /// - Throws: ``InvalidReplicationCommand``.
    public init(parsing line: String) throws(InvalidReplicationCommand) {
        var line = line
        let result: Result<Self, InvalidReplicationCommand> = line.withUTF8 { bytes in
            Result { () throws(InvalidReplicationCommand) in try Self.parse(bytes.span) }
        }
        self = try result.get()
    }

    /// Reads one line from its bytes as they came, without its line break.
    ///
    /// - Throws: ``InvalidReplicationCommand``.
    public static func parse(_ line: Span<UInt8>) throws(InvalidReplicationCommand) -> ReplicationCommand {
        do {
            return try parseFields(line)
        } catch {
            // Whatever is wrong on such a line, that it is not one line is the reason. No command takes a line break,
            // so it is enough to look for them here.
            for offset in line.indices where line[offset] == UInt8(ascii: "\n") || line[offset] == UInt8(ascii: "\r") {
                throw .lineBreak(at: offset)
            }
            throw error
        }
    }

    private static func parseFields(_ line: Span<UInt8>) throws(InvalidReplicationCommand) -> ReplicationCommand {
        var fields = FieldReader()
        guard let name = fields.range(line), let kind = Kind(line, name) else {
            throw line.indices.allSatisfy { line[$0] == UInt8(ascii: " ") } ? .blank : .unknown(in: line)
        }
        do {
            let command = try fields.command(kind, line)
            try fields.end(line)
            return command
        } catch {
            throw .malformed(kind, error)
        }
    }
}

extension FieldReader {
    fileprivate mutating func command(
        _ kind: ReplicationCommand.Kind, _ line: Span<UInt8>
    ) throws(Problem) -> ReplicationCommand {
        switch kind {
        case .server: .server(try simple(line))
        case .name: .name(try simple(line))
        case .ping: .ping(try simple(line))
        case .error: .error(try simple(line))
        case .replicate: .replicate
        case .rdata: .rdata(try row(line))
        case .position: .position(try position(line))
        case .checkpoint: .checkpoint(try checkpoint(line))
        case .remoteServerUp: .remoteServerUp(try simple(line))
        case .newActiveTask: .newActiveTask(try simple(line))
        case .cancelTask: .cancelTask(try simple(line))
        case .userSync: .userSync(try userSync(line))
        case .clearUserSync: .clearUserSync(ClearUserSync(instanceID: try fieldText(line, "instance ID")))
        case .federationAck:
            .federationAck(FederationAck(writer: try writer(line), token: try streamID(line, "token")))
        case .userIP: .userIP(try userIP(line))
        case .lockReleased: .lockReleased(try lockReleased(line))
        }
    }

    private mutating func simple(_ line: Span<UInt8>) throws(Problem) -> SimpleText {
        let text = try Self.text(line, rest(line), "text")
        do { return try SimpleText(validating: text) } catch { throw .invalidText(field: "text", error) }
    }

    private mutating func row(_ line: Span<UInt8>) throws(Problem) -> ReplicationRow {
        let stream = try stream(line)
        let speaker = try speaker(line)
        return ReplicationRow(
            stream: stream, writer: speaker.writer, nonce: speaker.nonce, token: try token(line),
            row: try json(line, "row"))
    }

    private mutating func token(_ line: Span<UInt8>) throws(Problem) -> ReplicationRow.Token {
        let range = try field(line, "token")
        if let number = Self.number(line, range) { return .id(StreamID(number)) }
        guard try Self.text(line, range, "token") == "batch" else { throw .invalidNumber(field: "token") }
        return .batch
    }

    private mutating func checkpoint(_ line: Span<UInt8>) throws(Problem) -> ReplicationCheckpoint {
        let stream = try stream(line)
        let range = try field(line, "consumer")
        let consumer: ConsumerName
        do { consumer = try ConsumerName(validating: line.extracting(range)) } catch {
            throw .invalidName(field: "consumer", error)
        }
        return ReplicationCheckpoint(stream: stream, consumer: consumer, position: try streamID(line, "position"))
    }

    private mutating func position(_ line: Span<UInt8>) throws(Problem) -> ReplicationPosition {
        let stream = try stream(line)
        let speaker = try speaker(line)
        return ReplicationPosition(
            stream: stream, writer: speaker.writer, nonce: speaker.nonce, previous: try streamID(line, "previous"),
            new: try streamID(line, "new"))
    }
}

extension FieldReader {
    private mutating func userSync(_ line: Span<UInt8>) throws(Problem) -> UserSync {
        let instanceID = try fieldText(line, "instance ID")
        let user = try fieldText(line, "user ID")
        let device = try fieldText(line, "device ID")
        let stateText = try fieldText(line, "state").text
        guard let state = UserSync.State(rawValue: stateText) else { throw .invalidState }
        let lastSync = try number(line, "last sync")
        do {
            return try UserSync(
                instanceID: instanceID, user: user, device: device.text == UserSync.noDevice ? nil : device,
                state: state, lastSyncMilliseconds: lastSync)
        } catch { throw .invalidText(field: "device ID", error) }
    }

    private mutating func userIP(_ line: Span<UInt8>) throws(Problem) -> UserIP {
        let user = try fieldText(line, "user ID")
        let json = try json(line, "JSON")
        do { return try UserIP(user: user, validating: json) } catch { throw .invalidJSON(field: "JSON", error) }
    }

    private mutating func lockReleased(_ line: Span<UInt8>) throws(Problem) -> LockReleased {
        let json = try json(line, "JSON")
        do { return try LockReleased(validating: json) } catch { throw .invalidJSON(field: "JSON", error) }
    }

    private mutating func fieldText(_ line: Span<UInt8>, _ name: StaticString) throws(Problem) -> FieldText {
        let text = try Self.text(line, field(line, name), name)
        do { return try FieldText(validating: text) } catch { throw .invalidText(field: name.description, error) }
    }
}

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

extension InstanceName {
    /// A name as other software may have it: with `#` and `/` too. No instance of this package can be given one.
    ///
    /// - Throws: ``InvalidName``.
    init(heard bytes: Span<UInt8>) throws(InvalidName) {
        let name = String(repairing: bytes)
        if !InvalidName.plainlyAllows(bytes) { try InvalidName.checkHeard(name) }
        self.init(checked: name)
    }
}

extension StreamName {
    /// - Throws: ``InvalidName``.
    init(validating bytes: Span<UInt8>) throws(InvalidName) {
        let name = String(repairing: bytes)
        if !InvalidName.plainlyAllows(bytes) { try InvalidName.check(name) }
        self.init(checked: name)
    }
}

extension ConsumerName {
    /// - Throws: ``InvalidName``.
    init(validating bytes: Span<UInt8>) throws(InvalidName) {
        let name = String(repairing: bytes)
        if !InvalidName.plainlyAllows(bytes) { try InvalidName.check(name) }
        self.init(checked: name)
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
