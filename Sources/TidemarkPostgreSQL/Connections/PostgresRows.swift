import CLibpq

/// What a query has answered, as it lies in the memory of libpq.
///
/// `@unchecked`: "PGresult objects are normally read-only after creation, and so can be passed around freely between threads"
/// (the documentation of libpq, "Behavior in Threaded Programs"); here nothing changes one.
final class PostgresRows: @unchecked Sendable {
    private let result: OpaquePointer
    private let types: [Oid]
    private let server: String
    let count: Int
    /// What the server calls what it did: `COMMIT`, `INSERT 0 3`.
    let command: String

    /// Takes the result over.
    init(_ result: OpaquePointer, server: String) {
        self.result = result
        self.server = server
        count = Int(PQntuples(result))
        types = (0..<PQnfields(result)).map { PQftype(result, $0) }
        command = String(cString: PQcmdStatus(result))
    }

    deinit { PQclear(result) }

    /// How many rows a command has changed.
    var changed: Int { Int(String(cString: PQcmdTuples(result))) ?? 0 }

    func isNull(_ row: Int, _ column: Int) -> Bool { PQgetisnull(result, CInt(row), CInt(column)) == 1 }

    /// The value's bytes where they lie: the text, or the type's binary form. Empty for null.
    @_lifetime(borrow self)
    func bytes(_ row: Int, _ column: Int) -> Span<UInt8> {
        checkBounds(row, column)
        let length = Int(PQgetlength(result, CInt(row), CInt(column)))
        let pointer = UnsafeRawPointer(PQgetvalue(result, CInt(row), CInt(column)))
        let buffer = UnsafeRawBufferPointer(start: pointer, count: pointer == nil ? 0 : length)
        // Safe: the memory is the result's, which lives as long as this object.
        return unsafe _overrideLifetime(Span(_unsafeBytes: buffer), borrowing: self)
    }

    /// Nil for null.
    @_lifetime(borrow self)
    func bytesIfAny(_ row: Int, _ column: Int) -> Span<UInt8>? {
        if isNull(row, column) { return nil }
        return bytes(row, column)
    }

    /// - Throws: ``PostgresError/unexpectedAnswer(server:problem:)`` where it is no whole number, or null.
    func int64(_ row: Int, _ column: Int) throws(PostgresError) -> Int64 {
        guard let number = try int64IfAny(row, column) else { throw unexpected("null", column) }
        return number
    }

    func int64IfAny(_ row: Int, _ column: Int) throws(PostgresError) -> Int64? {
        try check(column, PostgresType.isNumber)
        if isNull(row, column) { return nil }
        let bytes = bytes(row, column)
        switch bytes.count {
        case 8: return bytes.bigEndian(at: 0)
        // Identifiers of four bytes have no sign.
        case 4 where type(column) != PostgresType.int4: return Int64(bytes.bigEndian(at: 0) as UInt32)
        case 4: return Int64(bytes.bigEndian(at: 0) as Int32)
        case 2: return Int64(bytes.bigEndian(at: 0) as Int16)
        default: throw unexpected("a number of \(bytes.count) bytes", column)
        }
    }

    func bool(_ row: Int, _ column: Int) throws(PostgresError) -> Bool {
        try check(column) { $0 == PostgresType.bool }
        let bytes = bytes(row, column)
        guard bytes.count == 1 else { throw unexpected("null", column) }
        return bytes[0] != 0
    }

    func text(_ row: Int, _ column: Int) throws(PostgresError) -> String {
        guard let text = try textIfAny(row, column) else { throw unexpected("null", column) }
        return text
    }

    func textIfAny(_ row: Int, _ column: Int) throws(PostgresError) -> String? {
        try check(column, PostgresType.isText)
        return isNull(row, column)
            ? nil : bytes(row, column).withUnsafeBufferPointer { String(decoding: $0, as: UTF8.self) }
    }

    /// The bytes of a `bytea`, or of a type without a function of its own here, copied.
    func byteArray(_ row: Int, _ column: Int) throws(PostgresError) -> [UInt8] {
        if isNull(row, column) { throw unexpected("null", column) }
        return bytes(row, column).withUnsafeBufferPointer { Array($0) }
    }

    /// A `timestamptz` in milliseconds since 1970-01-01 UTC, rounded down.
    func milliseconds(_ row: Int, _ column: Int) throws(PostgresError) -> Int64 {
        try check(column) { $0 == PostgresType.timestamptz }
        let bytes = bytes(row, column)
        guard bytes.count == 8 else { throw unexpected("null", column) }
        // Microseconds since 2000-01-01.
        let microseconds: Int64 = bytes.bigEndian(at: 0)
        let (quotient, remainder) = microseconds.quotientAndRemainder(dividingBy: 1000)
        return quotient - (remainder < 0 ? 1 : 0) + 946_684_800_000
    }

    /// An array of numbers of four or eight bytes, without nulls.
    func int64s(_ row: Int, _ column: Int) throws(PostgresError) -> [Int64] {
        try elements(row, column).map { range in
            let bytes = bytes(row, column)
            switch range?.count {
            case 8: return bytes.bigEndian(at: range?.lowerBound ?? 0)
            case 4: return Int64(bytes.bigEndian(at: range?.lowerBound ?? 0) as Int32)
            default: return nil
            }
        }.map { (number: Int64?) throws(PostgresError) in
            guard let number else { throw unexpected("an array that is not of numbers", column) }
            return number
        }
    }

    func texts(_ row: Int, _ column: Int) throws(PostgresError) -> [String?] {
        let bytes = bytes(row, column)
        var texts: [String?] = []
        for range in try elements(row, column) {
            texts.append(
                range.map { range in
                    bytes.extracting(range).withUnsafeBufferPointer { String(decoding: $0, as: UTF8.self) }
                })
        }
        return texts
    }

    /// Where the elements of an array of one dimension are; see `ParameterBuffer`.
    private func elements(_ row: Int, _ column: Int) throws(PostgresError) -> [Range<Int>?] {
        let bytes = bytes(row, column)
        if bytes.count == 12, bytes.bigEndian(at: 0) as Int32 == 0 { return [] }
        guard bytes.count >= 20, bytes.bigEndian(at: 0) as Int32 == 1 else {
            throw unexpected("no array of one dimension", column)
        }
        var ranges: [Range<Int>?] = []
        var offset = 20
        for _ in 0..<(bytes.bigEndian(at: 12) as Int32) {
            guard offset + 4 <= bytes.count else { throw unexpected("an array that is cut off", column) }
            let length = Int(bytes.bigEndian(at: offset) as Int32)
            offset += 4
            guard length >= 0 else {
                ranges.append(nil)
                continue
            }
            guard length <= bytes.count - offset else { throw unexpected("an array that is cut off", column) }
            ranges.append(offset..<offset + length)
            offset += length
        }
        return ranges
    }

    private func type(_ column: Int) -> Oid { types[column] }

    private func check(_ column: Int, _ isFine: (Oid) -> Bool) throws(PostgresError) {
        guard isFine(type(column)) else { throw unexpected("type \(type(column))", column) }
    }

    private func checkBounds(_ row: Int, _ column: Int) {
        precondition(row >= 0 && row < count && column >= 0 && column < types.count, "no such value")
    }

    private func unexpected(_ found: String, _ column: Int) -> PostgresError {
        let name = PQfname(result, CInt(column)).map { String(cString: $0) } ?? "\(column)"
        return .unexpectedAnswer(server: server, problem: "\(found) in column \(name)")
    }
}

extension Span<UInt8> {
    /// A number in the order of the network.
    func bigEndian<Number: FixedWidthInteger>(at offset: Int) -> Number {
        // Checks the bounds.
        extracting(offset..<offset + MemoryLayout<Number>.size).withUnsafeBytes {
            Number(bigEndian: $0.loadUnaligned(as: Number.self))
        }
    }
}
