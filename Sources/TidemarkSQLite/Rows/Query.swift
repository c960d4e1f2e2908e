#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif
import GRDB
import GRDBSQLite
import Tidemark

/// A prepared statement, bound and stepped through SQLite's C interface.
///
/// GRDB keeps the statement for the next time. Texts are bound and read with their length, so that NUL bytes in them
/// survive. A query is reset before its connection is left: a statement that is not reset keeps a snapshot open.
struct Query {
    /// Keeps `pointer` alive.
    private let statement: Statement
    let pointer: OpaquePointer
    private let connection: OpaquePointer?

    init(_ db: Database, _ sql: StatementText) throws {
        statement = try db.cachedStatement(sql: sql.text)
        pointer = statement.sqliteStatement
        connection = db.sqliteConnection
        reset()
    }

    /// Runs a statement that returns nothing; how many rows it changed.
    @discardableResult
    static func run(_ db: Database, _ sql: StatementText, _ values: (any SQLValue)?...) throws -> Int {
        let query = try Query(db, sql)
        defer { query.reset() }
        try query.bind(values)
        while try query.step() {}
        return query.changes
    }

    /// The first row, or nil.
    static func first<Row>(
        _ db: Database, _ sql: StatementText, _ values: (any SQLValue)?..., row: (Query) throws -> Row
    ) throws -> Row? {
        let query = try Query(db, sql)
        defer { query.reset() }
        try query.bind(values)
        return try query.step() ? row(query) : nil
    }

    /// All rows.
    static func all<Row>(
        _ db: Database, _ sql: StatementText, _ values: (any SQLValue)?..., row: (Query) throws -> Row
    ) throws -> [Row] {
        let query = try Query(db, sql)
        defer { query.reset() }
        try query.bind(values)
        var rows: [Row] = []
        while try query.step() { rows.append(try row(query)) }
        return rows
    }

    // MARK: Binding, the first parameter is 1

    private func bind(_ values: [(any SQLValue)?]) throws {
        for (index, value) in values.enumerated() {
            try value?.bind(to: self, at: Int32(index + 1)) ?? bindNull(at: Int32(index + 1))
        }
    }

    func bindNull(at index: Int32) throws {
        try check(sqlite3_bind_null(pointer, index))
    }

    func bind(_ number: Int64, at index: Int32) throws {
        try check(sqlite3_bind_int64(pointer, index, number))
    }

    func bind(_ text: String, at index: Int32) throws {
        var text = text
        try check(
            text.withUTF8 { bytes in
                bytes.withMemoryRebound(to: CChar.self) { characters in
                    guard let start = characters.baseAddress, !characters.isEmpty else {
                        // A null pointer would bind NULL.
                        return sqlite3_bind_text(pointer, index, "", 0, Self.transient)
                    }
                    return sqlite3_bind_text(pointer, index, start, Int32(characters.count), Self.transient)
                }
            })
    }

    /// Binds bytes without copying them: the query is stepped and reset while they are there.
    func bindStatic(_ bytes: UnsafeRawBufferPointer, at index: Int32) throws {
        guard let start = bytes.baseAddress, !bytes.isEmpty else {
            return try check(sqlite3_bind_zeroblob(pointer, index, 0))
        }
        try check(sqlite3_bind_blob(pointer, index, start, Int32(bytes.count), nil))
    }

    /// Binds bytes, which are copied.
    func bind(_ bytes: [UInt8], at index: Int32) throws {
        try bytes.withUnsafeBytes { bytes in
            guard let start = bytes.baseAddress, !bytes.isEmpty else {
                return try check(sqlite3_bind_zeroblob(pointer, index, 0))
            }
            try check(sqlite3_bind_blob(pointer, index, start, Int32(bytes.count), Self.transient))
        }
    }

    /// Binds text without copying it: the query is stepped and reset inside `body`.
    func withStatic<R>(_ text: String, at index: Int32, _ body: () throws -> R) throws -> R {
        if text.isEmpty {
            try bind(text, at: index)
            return try body()
        }
        var text = text
        return try text.withUTF8 { bytes in
            try bytes.withMemoryRebound(to: CChar.self) { characters in
                try check(sqlite3_bind_text(pointer, index, characters.baseAddress, Int32(characters.count), nil))
            }
            return try body()
        }
    }

    /// SQLite's `SQLITE_TRANSIENT`, a macro that Swift does not import: it copies the text before the call returns.
    private static let transient = unsafeBitCast(-1, to: sqlite3_destructor_type.self)

    // MARK: Stepping

    /// Whether there is a row.
    func step() throws -> Bool {
        switch sqlite3_step(pointer) {
        case SQLITE_ROW: true
        case SQLITE_DONE: false
        default: throw error()
        }
    }

    /// Forgets the values too: a static one may be gone after this.
    func reset() {
        sqlite3_reset(pointer)
        sqlite3_clear_bindings(pointer)
    }

    /// Makes the statement ready for its next step with the values that it has, but for these.
    func rewind(clearing indexes: ClosedRange<Int32>) {
        sqlite3_reset(pointer)
        for index in indexes { sqlite3_bind_null(pointer, index) }
    }

    /// How many rows the statement that was stepped last has changed.
    var changes: Int { Int(sqlite3_changes(connection)) }

    private func check(_ code: Int32) throws {
        if code != SQLITE_OK { throw error() }
    }

    private func error() -> DatabaseError {
        let last = errno
        let error = DatabaseError(
            resultCode: ResultCode(rawValue: sqlite3_extended_errcode(connection)),
            message: String(cString: sqlite3_errmsg(connection)))
        return Self.tellingFull(error, on: connection, last: last)
    }

    /// The error that has just come from a connection, by whatever statement.
    ///
    /// - Parameter last: the thread's last system error: of a COMMIT SQLite keeps none.
    static func tellingFull(_ error: DatabaseError, on connection: OpaquePointer?, last: CInt = errno) -> DatabaseError
    {
        let kept = sqlite3_system_errno(connection)
        let code = resultCode(error.extendedResultCode, systemError: kept == 0 ? last : kept)
        return code == error.extendedResultCode ? error : DatabaseError(resultCode: code, message: error.message)
    }

    /// SQLite calls it a full disk only where the system does, an I/O error where a quota is used up or a file may not get
    /// any larger, and a file that cannot be opened where there is no room for another one.
    static func resultCode(_ code: ResultCode, systemError: CInt) -> ResultCode {
        switch code {
        case .SQLITE_IOERR_WRITE, .SQLITE_IOERR_SHMSIZE, .SQLITE_CANTOPEN:
            [ENOSPC, EDQUOT, EFBIG].contains(systemError) ? .SQLITE_FULL : code
        // It is not known whether what a sync could not write is there.
        default: code
        }
    }

    // MARK: Columns, the first is 0

    func number(_ column: Int32) -> Int64 { sqlite3_column_int64(pointer, column) }

    func streamID(_ column: Int32) -> StreamID { StreamID(number(column)) }

    func isNull(_ column: Int32) -> Bool { sqlite3_column_type(pointer, column) == SQLITE_NULL }

    func text(_ column: Int32) -> String {
        String(decoding: textBytes(column), as: UTF8.self)
    }

    /// Valid until the next step.
    func textBytes(_ column: Int32) -> UnsafeBufferPointer<UInt8> {
        // The order matters: `sqlite3_column_bytes` after `_text` is the length of that text.
        let start = sqlite3_column_text(pointer, column)
        return UnsafeBufferPointer(start: start, count: Int(sqlite3_column_bytes(pointer, column)))
    }

    /// The same; nil where the column is null. (An empty text has an address.)
    func textBytesIfAny(_ column: Int32) -> UnsafeBufferPointer<UInt8>? {
        let bytes = textBytes(column)
        return bytes.baseAddress == nil ? nil : bytes
    }

    /// Valid until the next step.
    func blob(_ column: Int32) -> UnsafeBufferPointer<UInt8> {
        let start = sqlite3_column_blob(pointer, column)
        let bytes = UnsafeRawBufferPointer(start: start, count: Int(sqlite3_column_bytes(pointer, column)))
        return bytes.assumingMemoryBound(to: UInt8.self)
    }

    func bytes(_ column: Int32) -> [UInt8] { Array(blob(column)) }
}

extension Database {
    /// Since the connection was opened; 0 when it is closed. Without the checks of GRDB's own property.
    var changedRows: Int {
        guard let sqliteConnection else { return 0 }
        return Int(sqlite3_total_changes(sqliteConnection))
    }
}

/// SQL that is written out in the source, never put together: so the statements that are kept have a bound.
///
/// A literal of a string takes no memory when it is used, unlike the description of a `StaticString`.
struct StatementText: ExpressibleByStringLiteral {
    fileprivate let text: String

    init(stringLiteral text: String) { self.text = text }
}

/// What can be bound to a parameter of a ``Query``.
protocol SQLValue {
    func bind(to query: Query, at index: Int32) throws
}

extension Int64: SQLValue {
    func bind(to query: Query, at index: Int32) throws { try query.bind(self, at: index) }
}

extension Int: SQLValue {
    func bind(to query: Query, at index: Int32) throws { try query.bind(Int64(self), at: index) }
}

extension StreamID: SQLValue {
    func bind(to query: Query, at index: Int32) throws { try query.bind(rawValue, at: index) }
}

extension String: SQLValue {
    func bind(to query: Query, at index: Int32) throws { try query.bind(self, at: index) }
}

extension [UInt8]: SQLValue {
    func bind(to query: Query, at index: Int32) throws { try query.bind(self, at: index) }
}

extension SQLValue where Self: ValidatedName {
    func bind(to query: Query, at index: Int32) throws { try query.bind(rawValue, at: index) }
}

extension StreamName: SQLValue {}
extension InstanceName: SQLValue {}
extension ConsumerName: SQLValue {}
