import CLibpq
import Foundation

/// One connection to a server, as whoever has its thread sees it: queries are sent and their answers waited for right
/// here.
///
/// Where a pooler that lends server connections by the transaction may be in between, only unnamed statements are used and
/// nothing is left behind in the session.
final class PostgresSession {
    /// Something that a server told everyone who listens.
    struct Notification {
        let channel: String
        /// The process of the server that the sender is connected to.
        let processID: Int32
        let payload: [UInt8]
    }

    /// What the server has said beside its answers.
    private final class Notices {
        /// Why it waits for its standbys no longer, although it has committed.
        var notReplicated: String?
        /// Why it will close the connection.
        var farewell: String?
    }

    let server: String
    private let connection: OpaquePointer
    private let pipe: WakePipe
    private let configuration: PostgresConfiguration
    private let now: () -> Duration
    private let notices = Notices()
    private var control: CallControl?
    private var callEnd: Duration?
    private var callLimit: Duration = .zero
    private var canceller: QueryCanceller?
    /// In a transaction whose COMMIT was not sent yet: when the connection is lost, it was rolled back.
    private var isUncommitted = false
    /// What has to be done before a query is sent: when the connection is lost, nothing happened.
    private var isPreparing = false
    private var statements: PreparedStatements
    /// Whether the server itself is at the other end; nil until that was asked.
    private var isDirect: Bool?
    /// Called in the midst of queries too, with what was heard.
    var hear: ((Notification) -> Void)?

    /// Connects, and waits for that.
    ///
    /// - Throws: ``PostgresError``.
    init(
        _ address: PostgresAddress, _ configuration: PostgresConfiguration, extra: [String: String] = [:],
        pipe: WakePipe,
        now: @escaping () -> Duration
    ) throws(PostgresError) {
        let connector = PostgresConnector(address, configuration, extra)
        connection = try connector.connect()
        server = address.server
        self.pipe = pipe
        self.configuration = configuration
        self.now = now
        statements = PreparedStatements(isUsed: configuration.directAddress == nil)
        PQsetnonblocking(connection, 1)
        PQsetNoticeReceiver(
            connection,
            { context, result in
                guard let context, let result else { return }
                // Safe: the session keeps the object for as long as the connection is open.
                let notices = Unmanaged<Notices>.fromOpaque(context).takeUnretainedValue()
                let message = PostgresSession.field(.message, of: result)
                // The name of the function that waits for standbys after a commit; it warns of nothing else.
                if PostgresSession.field(.sourceFunction, of: result) == "SyncRepWaitForLSN" {
                    notices.notReplicated = message ?? "it gave up"
                }
                // What it says before it closes the connection, while nothing was asked.
                if PostgresSession.field(.severity, of: result) == "FATAL" {
                    notices.farewell = message ?? "it was closed"
                }
            }, Unmanaged.passUnretained(notices).toOpaque())
    }

    deinit { PQfinish(connection) }

    var isBroken: Bool { PQstatus(connection) != CONNECTION_OK }
    var socket: Int32 { PQsocket(connection) }
    /// The server's process, as the server itself or a pooler in front of it says.
    var processID: Int32 { PQbackendPID(connection) }
    /// What the server has reported of itself, such as `in_hot_standby` (from version 14).
    func parameter(_ name: String) -> String? { PQparameterStatus(connection, name).map { String(cString: $0) } }

    // MARK: Calls

    /// Begins a call: from now on `control` and the limit stop what is asked.
    func begin(_ control: CallControl, limit: Duration) {
        self.control = control
        callLimit = limit
        callEnd = now() + limit
        control.attach(pipe)
    }

    /// Ends the call, and leaves no transaction open.
    func end() {
        control?.attach(nil)
        (control, callEnd) = (nil, nil)
        guard !isBroken, PQtransactionStatus(connection) != PQTRANS_IDLE else { return }
        begin(CallControl(), limit: configuration.stopLimit)
        do {
            _ = try query("ROLLBACK")
        } catch {
            shut()
        }
        control?.attach(nil)
        (control, callEnd) = (nil, nil)
    }

    /// Makes the connection one that is lost.
    private func shut() { shutdown(socket, Int32(SHUT_RDWR)); isShut = true }

    private var isShut = false

    /// Takes what the server says while nothing is asked; whether the connection is still there, and stays.
    ///
    /// - Parameter reads: whether the socket is looked at; otherwise it is only what came with the last answer.
    func attend(reads: Bool = true) -> Bool {
        if reads, PQconsumeInput(connection) != 1 { return false }
        if isBroken || isShut { return false }
        takeNotifications()
        // What would be sent after a farewell might still reach the server, and nobody would know what became of it.
        return notices.farewell == nil
    }

    private func takeNotifications() {
        while let notification = PQnotifies(connection) {
            defer { PQfreemem(notification) }
            guard let hear else { continue }
            let payload = UnsafeRawBufferPointer(
                start: notification.pointee.extra, count: strlen(notification.pointee.extra))
            hear(
                Notification(
                    channel: String(cString: notification.pointee.relname), processID: notification.pointee.be_pid,
                    payload: Array(payload)))
        }
    }

    // MARK: Queries

    /// Sends one statement and waits until it, and its transaction where it has none around it, is done.
    ///
    /// - Throws: ``PostgresError``, or `CancellationError` where the task was cancelled and nothing was done.
    @discardableResult
    func query(_ sql: String, _ parameters: [PostgresValue] = []) throws -> PostgresRows {
        try checkBeforeSending()
        let statement = PostgresStatement(sql, parameters)
        let name = try prepare(statement)
        try send(statement, name)
        var rows: PostgresRows?
        var failure: ServerMessage?
        // Up to the end of all: the transaction commits only after the server has called the command complete.
        while let result = try nextResult() {
            switch PQresultStatus(result) {
            case PGRES_TUPLES_OK, PGRES_COMMAND_OK, PGRES_EMPTY_QUERY: rows = PostgresRows(result, server: server)
            default: failure = try takeFailure(result)
            }
        }
        let stopped = try endOfQuery()
        if let failure {
            if name != nil, mayGoOnUnprepared(after: failure) { return try query(sql, parameters) }
            throw error(for: failure, stopped)
        }
        guard let rows else { throw lost("it sent no answer") }
        try checkReplication()
        return rows
    }

    /// Sends several statements together, which costs one round trip. Without a `BEGIN` among them they are one
    /// transaction.
    ///
    /// - Throws: like ``query(_:_:)``, for the first that fails; what follows it was not done, and a transaction that
    ///   was
    ///   begun among them was rolled back.
    @discardableResult
    func pipeline(_ statements: [PostgresStatement]) throws -> [PostgresRows] {
        try checkBeforeSending()
        let wasIdle = PQtransactionStatus(connection) == PQTRANS_IDLE
        let names = try statements.map(prepare)
        guard PQenterPipelineMode(connection) == 1 else { throw lost(problem) }
        for (statement, name) in zip(statements, names) { try send(statement, name) }
        guard PQpipelineSync(connection) == 1 else { throw lost(problem) }
        var all: [PostgresRows] = []
        var failure: ServerMessage?
        receiving: while true {
            // Nil stands between the statements.
            guard let result = try nextResult() else {
                if isBroken { throw lost(problem) }
                continue
            }
            switch PQresultStatus(result) {
            case PGRES_TUPLES_OK, PGRES_COMMAND_OK, PGRES_EMPTY_QUERY: all.append(PostgresRows(result, server: server))
            case PGRES_PIPELINE_SYNC:
                PQclear(result)
                break receiving
            case PGRES_PIPELINE_ABORTED: PQclear(result)
            default: failure = try takeFailure(result)
            }
        }
        let stopped = try endOfQuery()
        guard PQexitPipelineMode(connection) == 1 else { throw lost(problem) }
        if let failure {
            if wasIdle, PQtransactionStatus(connection) != PQTRANS_IDLE { try rollBack() }
            if names.contains(where: { $0 != nil }), mayGoOnUnprepared(after: failure) {
                return try pipeline(statements)
            }
            throw error(for: failure, stopped)
        }
        try checkReplication()
        return all
    }

    /// Runs `body` in a transaction, which commits when it returns and is rolled back when it throws.
    ///
    /// While it has not come to the COMMIT, a connection that is lost has certainly done nothing.
    func transaction<Value>(
        _ mode: String = "ISOLATION LEVEL READ COMMITTED", _ body: (PostgresSession) throws -> Value
    ) throws -> Value {
        precondition(!isUncommitted, "transactions cannot be nested")
        isUncommitted = true
        defer { isUncommitted = false }
        do {
            try query("BEGIN \(mode)")
            let value = try body(self)
            try checkBeforeSending()
            isUncommitted = false
            let ended = try query("COMMIT")
            // A transaction that had failed before is rolled back by a COMMIT.
            guard ended.command == "COMMIT" else {
                throw PostgresError.refused(
                    server: server,
                    ServerMessage(sqlState: "25P02", message: "a statement of the transaction had failed"))
            }
            return value
        } catch {
            isUncommitted = true
            if !isBroken, !isShut, PQtransactionStatus(connection) != PQTRANS_IDLE { try? rollBack() }
            throw error
        }
    }

    /// What rolls back is not stopped by what stopped the call.
    private func rollBack() throws {
        let (control, callEnd, callLimit) = (control, callEnd, callLimit)
        defer { (self.control, self.callEnd, self.callLimit) = (control, callEnd, callLimit) }
        (self.control, self.callEnd, self.callLimit) = (nil, now() + configuration.stopLimit, configuration.stopLimit)
        do {
            _ = try query("ROLLBACK")
        } catch {
            shut()
            throw error
        }
    }

    // MARK: Sending and waiting

    private enum Stop: Hashable {
        case cancelled
        case late
    }

    /// Why the call is to be stopped, if it is.
    private var stop: Stop? {
        if control?.isCancelled == true { return .cancelled }
        if let callEnd, now() >= callEnd { return .late }
        return nil
    }

    private func checkBeforeSending() throws {
        switch stop {
        case .cancelled: throw CancellationError()
        case .late: throw PostgresError.timedOut(server: server, limit: callLimit)
        case nil: break
        }
        if isBroken || isShut { throw PostgresError.lost(server: server, problem: problem, mayHaveHappened: false) }
        notices.notReplicated = nil
    }

    private func checkReplication() throws(PostgresError) {
        if let problem = notices.notReplicated { throw .notReplicated(server: server, problem: problem) }
    }

    /// The name by which the statement is sent; nil where it is sent with its text.
    ///
    /// - Throws: like ``query(_:_:)``.
    private func prepare(_ statement: PostgresStatement) throws -> String? {
        let types = statement.parameters.map(\.type)
        switch statements.use(statement.sql, types) {
        case .unnamed: return nil
        case .prepared(let name): return name
        case .unprepared(let name):
            isPreparing = true
            defer { isPreparing = false }
            guard try askWhetherDirect() else {
                statements.giveUp()
                return nil
            }
            guard PQsendPrepare(connection, name, statement.sql, CInt(types.count), types) == 1 else {
                throw lost(problem)
            }
            var failure: ServerMessage?
            while let result = try nextResult() {
                if PQresultStatus(result) == PGRES_COMMAND_OK {
                    PQclear(result)
                } else {
                    failure = try takeFailure(result)
                }
            }
            let stopped = try endOfQuery()
            if let failure {
                if mayGoOnUnprepared(after: failure) { return nil }
                throw error(for: failure, stopped)
            }
            statements.prepared(statement.sql, types)
            try checkBeforeSending()
            return name
        }
    }

    /// A pooler gives another number for the connection than the server has.
    private func askWhetherDirect() throws -> Bool {
        if let isDirect { return isDirect }
        let found = try query("SELECT pg_backend_pid()").int64(0, 0) == Int64(processID)
        isDirect = found
        return found
    }

    /// Whether the server refused a statement only because it was prepared, and it can be sent with its text: outside of a
    /// transaction, where nothing else was done with it. From then on all are.
    private func mayGoOnUnprepared(after failure: ServerMessage) -> Bool {
        guard PreparedStatements.isRefused(failure) else { return false }
        statements.giveUp()
        return PQtransactionStatus(connection) == PQTRANS_IDLE
    }

    private func send(_ statement: PostgresStatement, _ name: String?) throws(PostgresError) {
        let (sql, parameters) = (statement.sql, statement.parameters)
        let buffer = ParameterBuffer(parameters)
        let isSent = buffer.bytes.withUnsafeBytes { bytes in
            let base = bytes.bindMemory(to: CChar.self).baseAddress
            let values = buffer.ranges.map { range in range.flatMap { base?.advanced(by: $0.lowerBound) } }
            let lengths = buffer.ranges.map { CInt($0?.count ?? 0) }
            let formats = [CInt](repeating: 1, count: parameters.count)
            if let name {
                return PQsendQueryPrepared(connection, name, CInt(parameters.count), values, lengths, formats, 1) == 1
            }
            return PQsendQueryParams(connection, sql, CInt(parameters.count), buffer.types, values, lengths, formats, 1)
                == 1
        }
        guard isSent else { throw lost(problem) }
    }

    /// The next answer, nil at the end of those of a statement.
    private func nextResult() throws(PostgresError) -> OpaquePointer? {
        var giveUpAt: Duration?
        var nextRequest: Duration?
        while PQisBusy(connection) == 1 {
            let isUnsent = PQflush(connection) == 1
            if stop != nil {
                let time = now()
                let end = giveUpAt ?? time + configuration.stopLimit
                giveUpAt = end
                if time >= end {
                    shut()
                    throw lost("the server did not stop what it was asked to stop")
                }
                // A request that comes to the server before the query does stops nothing; so it is repeated.
                if canceller?.hasEnded != false, time >= nextRequest ?? time {
                    canceller = QueryCanceller(connection, waking: pipe) ?? canceller
                    nextRequest = time + .milliseconds(100)
                }
            }
            let next = giveUpAt.map { min($0, now() + .milliseconds(100)) } ?? callEnd
            let events = Int32(POLLIN) | (isUnsent ? Int32(POLLOUT) : 0)
            guard pipe.wait(socket: socket, for: events, limit: next.map { max(.zero, $0 - now()) }) else { continue }
            guard PQconsumeInput(connection) == 1 else { throw lost(problem) }
            takeNotifications()
        }
        takeNotifications()
        return PQgetResult(connection)
    }

    /// After all answers: a request to stop that is still on its way must not meet what is asked next.
    private func endOfQuery() throws(PostgresError) -> Stop? {
        guard let canceller else { return nil }
        let end = now() + configuration.stopLimit
        while !canceller.hasEnded {
            if now() >= end {
                // The answer is there all the same; only the connection cannot be used again.
                shut()
                break
            }
            _ = pipe.wait(socket: -1, for: 0, limit: end - now())
        }
        self.canceller = nil
        return control?.isCancelled == true ? .cancelled : .late
    }

    // MARK: Errors

    /// What libpq says of the connection.
    var problem: String {
        if let farewell = notices.farewell { return farewell }
        let message = PQerrorMessage(connection).map { String(cString: $0) } ?? ""
        let line = PostgresConnector.oneLine(message)
        return line.isEmpty ? "it was closed" : line
    }

    private func lost(_ problem: String) -> PostgresError {
        shut()
        return .lost(server: server, problem: problem, mayHaveHappened: !isUncommitted && !isPreparing)
    }

    /// - Throws: ``PostgresError/lost(server:problem:mayHaveHappened:)`` where it is not an answer of the server to a
    ///   statement: when a server ends a connection, it is not certain what it has done.
    private func takeFailure(_ result: OpaquePointer) throws(PostgresError) -> ServerMessage {
        defer { PQclear(result) }
        let message = Self.field(.message, of: result)
        guard let sqlState = Self.field(.sqlState, of: result),
            Self.field(.severity, of: result) == "ERROR"
        else { throw lost(message ?? problem) }
        return ServerMessage(
            sqlState: sqlState, message: message ?? "", detail: Self.field(.detail, of: result),
            hint: Self.field(.hint, of: result), constraint: Self.field(.constraint, of: result))
    }

    private func error(for message: ServerMessage, _ stopped: Stop?) -> any Error {
        // `query_canceled`, which a limit of the server's own also gives.
        guard message.sqlState == "57014", let stopped else { return PostgresError.refused(server: server, message) }
        return stopped == .cancelled ? CancellationError() : PostgresError.timedOut(server: server, limit: callLimit)
    }

    /// The fields of an error, by libpq's letters, which are characters in the header and so not seen in Swift.
    private enum Field: Unicode.Scalar {
        /// In English, whatever the language of the server.
        case severity = "V"
        case sqlState = "C"
        case message = "M"
        case detail = "D"
        case hint = "H"
        case constraint = "n"
        case sourceFunction = "R"
    }

    private static func field(_ field: Field, of result: OpaquePointer) -> String? {
        PQresultErrorField(result, CInt(field.rawValue.value)).map { String(cString: $0) }
    }
}

/// A statement with its parameters.
struct PostgresStatement: Sendable {
    let sql: String
    let parameters: [PostgresValue]

    init(_ sql: String, _ parameters: [PostgresValue] = []) {
        self.sql = sql
        self.parameters = parameters
    }
}
