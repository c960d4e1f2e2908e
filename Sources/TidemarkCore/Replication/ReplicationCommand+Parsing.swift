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

extension ReplicationCommand.Kind {
    fileprivate init?(_ line: Span<UInt8>, _ range: Range<Int>) {
        let name = line.extracting(range).withUnsafeBufferPointer { String(validating: $0, as: UTF8.self) }
        guard let name, let kind = Self(rawValue: name) else { return nil }
        self = kind
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
        }
    }

    private mutating func simple(_ line: Span<UInt8>) throws(Problem) -> SimpleText {
        let text = try Self.text(line, rest(line), "text")
        do { return try SimpleText(validating: text) } catch { throw .invalidText(field: "text", error) }
    }

    private mutating func row(_ line: Span<UInt8>) throws(Problem) -> ReplicationRow {
        ReplicationRow(
            stream: try stream(line), writer: try writer(line), token: try token(line), row: try json(line, "row"))
    }

    private mutating func token(_ line: Span<UInt8>) throws(Problem) -> ReplicationRow.Token {
        let range = try field(line, "token")
        if let number = Self.number(line, range) { return .id(StreamID(number)) }
        guard try Self.text(line, range, "token") == "batch" else { throw .invalidNumber(field: "token") }
        return .batch
    }

    private mutating func position(_ line: Span<UInt8>) throws(Problem) -> ReplicationPosition {
        ReplicationPosition(
            stream: try stream(line), writer: try writer(line), previous: try streamID(line, "previous"),
            new: try streamID(line, "new"))
    }
}
