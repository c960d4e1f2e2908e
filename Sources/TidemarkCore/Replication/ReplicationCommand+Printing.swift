extension ReplicationCommand {
    /// What goes on the wire, without the line break.
    public var line: String {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(128)
        append(to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Appends what goes on the wire, as UTF-8 and without the line break.
    public func append(to output: inout [UInt8]) {
        output.append(utf8: kind.rawValue)
        switch self {
        case .server(let text), .name(let text), .ping(let text), .error(let text), .remoteServerUp(let text),
            .newActiveTask(let text), .cancelTask(let text):
            // The empty text is written without the space, as one would by hand.
            if !text.text.isEmpty { output.append(field: text.text) }
        case .replicate:
            break
        case .rdata(let row):
            output.append(row)
        case .position(let position):
            output.append(field: position.stream.rawValue)
            output.append(field: position.speaker)
            output.append(field: position.previous.rawValue)
            output.append(field: position.new.rawValue)
        case .userSync(let sync):
            output.append(sync)
        case .clearUserSync(let clear):
            output.append(field: clear.instanceID.text)
        case .federationAck(let acknowledgement):
            output.append(field: acknowledgement.writer)
            output.append(field: acknowledgement.token.rawValue)
        case .userIP(let seen):
            output.append(field: seen.user.text)
            output.append(field: seen.json.text)
        case .lockReleased(let lock):
            output.append(field: lock.json.text)
        }
    }
}

extension [UInt8] {
    fileprivate mutating func append(_ row: ReplicationRow) {
        append(field: row.stream.rawValue)
        append(field: row.speaker)
        switch row.token {
        case .id(let id): append(field: id.rawValue)
        case .batch: append(field: "batch")
        }
        append(field: row.row.text)
    }

    fileprivate mutating func append(_ sync: UserSync) {
        append(field: sync.instanceID.text)
        append(field: sync.user.text)
        append(field: sync.device?.text ?? UserSync.noDevice)
        append(field: sync.state.rawValue)
        append(field: sync.lastSyncMilliseconds)
    }

    fileprivate mutating func append(field text: String) {
        append(UInt8(ascii: " "))
        append(utf8: text)
    }

    fileprivate mutating func append(field number: Int64) {
        append(UInt8(ascii: " "))
        append(decimal: number)
    }

    fileprivate mutating func append(field speaker: Speaker) {
        append(UInt8(ascii: " "))
        append(wireName: speaker)
    }

    fileprivate mutating func append(field writer: Writer) {
        append(UInt8(ascii: " "))
        append(wireName: writer)
    }
}
