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
