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
        output.append(contentsOf: kind.rawValue.utf8)
        switch self {
        case .server(let text), .name(let text), .ping(let text), .error(let text):
            // The empty text is written without the space, as one would by hand.
            if !text.text.isEmpty { output.append(field: text.text) }
        case .replicate:
            break
        case .rdata(let row):
            output.append(field: row.stream.rawValue)
            output.append(field: row.writer)
            switch row.token {
            case .id(let id): output.append(field: id.rawValue)
            case .batch: output.append(field: "batch")
            }
            output.append(field: row.row.text)
        case .position(let position):
            output.append(field: position.stream.rawValue)
            output.append(field: position.writer)
            output.append(field: position.previous.rawValue)
            output.append(field: position.new.rawValue)
        }
    }
}

extension [UInt8] {
    fileprivate mutating func append(field text: String) {
        append(UInt8(ascii: " "))
        append(contentsOf: text.utf8)
    }

    fileprivate mutating func append(field number: Int64) {
        append(UInt8(ascii: " "))
        append(decimal: number)
    }

    fileprivate mutating func append(field writer: Writer) {
        append(UInt8(ascii: " "))
        append(wireName: writer)
    }
}
