import CLibpq

/// A parameter of a query, as the server takes it in binary.
enum PostgresValue: Sendable {
    /// A null of the type that the query has there.
    case null
    case bool(Bool)
    case int32(Int32)
    case int64(Int64)
    case text(String)
    case bytes([UInt8])
    case bools([Bool?])
    case int32s([Int32?])
    case int64s([Int64?])
    case texts([String?])
    case byteStrings([[UInt8]?])

    static func text(_ text: String?) -> PostgresValue { text.map { .text($0) } ?? .null }
    static func int64(_ number: Int64?) -> PostgresValue { number.map { .int64($0) } ?? .null }
    static func bytes(_ bytes: [UInt8]?) -> PostgresValue { bytes.map { .bytes($0) } ?? .null }

    /// The type's identifier, which is the same in all servers; 0 where the server is to say it.
    var type: Oid {
        switch self {
        case .null: 0
        case .bool: PostgresType.bool
        case .int32: PostgresType.int4
        case .int64: PostgresType.int8
        case .text: PostgresType.text
        case .bytes: PostgresType.bytea
        case .bools: 1000
        case .int32s: 1007
        case .int64s: 1016
        case .texts: 1009
        case .byteStrings: 1001
        }
    }
}

/// Identifiers of types, from `pg_type.dat` of PostgreSQL.
enum PostgresType {
    static let bool: Oid = 16
    static let bytea: Oid = 17
    static let int8: Oid = 20
    static let int2: Oid = 21
    static let int4: Oid = 23
    static let text: Oid = 25
    static let float8: Oid = 701
    static let timestamptz: Oid = 1184

    /// Those of eight bytes or fewer that are read as whole numbers: `oid`, `xid` and `xid8` too.
    static func isNumber(_ type: Oid) -> Bool {
        switch type {
        case int2, int4, int8, 26, 28, 5069: true
        default: false
        }
    }

    /// Those whose binary form is the text: `name`, `json`, `unknown`, `bpchar` and `varchar` too.
    static func isText(_ type: Oid) -> Bool {
        switch type {
        case text, 18, 19, 114, 705, 1042, 1043: true
        default: false
        }
    }
}

/// The parameters of one query, one after the other in one buffer.
struct ParameterBuffer {
    private(set) var bytes: [UInt8] = []
    /// Where each of them is; nil for null.
    private(set) var ranges: [Range<Int>?] = []
    private(set) var types: [Oid] = []

    init(_ values: [PostgresValue]) {
        bytes.reserveCapacity(values.count * 16 + 1)
        for value in values {
            types.append(value.type)
            if case .null = value {
                ranges.append(nil)
                continue
            }
            let start = bytes.count
            bytes.append(value)
            ranges.append(start..<bytes.count)
        }
        // So that an empty value has an address too: none would mean null.
        bytes.append(0)
    }
}

extension [UInt8] {
    fileprivate mutating func append(_ value: PostgresValue) {
        switch value {
        case .null: break
        case .bool(let value): append(value ? 1 : 0)
        case .int32(let number): append(bigEndian: number)
        case .int64(let number): append(bigEndian: number)
        case .text(let text): append(contentsOf: text.utf8)
        case .bytes(let bytes): append(contentsOf: bytes)
        case .bools(let values):
            append(array: values, of: PostgresType.bool) { $0.append($1 ? 1 : 0) }
        case .int32s(let values):
            append(array: values, of: PostgresType.int4) { $0.append(bigEndian: $1) }
        case .int64s(let values):
            append(array: values, of: PostgresType.int8) { $0.append(bigEndian: $1) }
        case .texts(let values):
            append(array: values, of: PostgresType.text) { $0.append(contentsOf: $1.utf8) }
        case .byteStrings(let values):
            append(array: values, of: PostgresType.bytea) { $0.append(contentsOf: $1) }
        }
    }

    /// The format of `array_recv`: dimensions, whether there are nulls, the type; for each dimension its length and
    /// lower bound; the elements with their lengths.
    private mutating func append<Item>(
        array values: [Item?], of type: Oid, _ appendItem: (inout [UInt8], Item) -> Void
    ) {
        append(bigEndian: Int32(values.isEmpty ? 0 : 1))
        append(bigEndian: Int32(values.contains { $0 == nil } ? 1 : 0))
        append(bigEndian: type)
        if values.isEmpty { return }
        append(bigEndian: Int32(values.count))
        append(bigEndian: 1 as Int32)
        for value in values {
            guard let value else {
                append(bigEndian: -1 as Int32)
                continue
            }
            let start = count
            append(bigEndian: 0 as Int32)
            appendItem(&self, value)
            let length = UInt32(count - start - 4)
            for byte in 0..<4 { self[start + byte] = UInt8(truncatingIfNeeded: length >> (8 * (3 - byte))) }
        }
    }

    private mutating func append(bigEndian number: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: number.bigEndian) { append(contentsOf: $0) }
    }
}
