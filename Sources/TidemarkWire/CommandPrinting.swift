public import TidemarkCore

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
        case .checkpoint(let checkpoint):
            output.append(field: checkpoint.stream.rawValue)
            output.append(field: checkpoint.consumer.rawValue)
            output.append(field: checkpoint.position.rawValue)
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
