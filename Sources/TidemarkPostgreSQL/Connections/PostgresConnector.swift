import CLibpq
import Foundation

/// Makes connections, and says in a sentence without passwords why there is none.
struct PostgresConnector {
    /// The lowest version of the server that works, as libpq counts.
    private static let lowestVersion: CInt = 130_000

    private let address: PostgresAddress
    private let parameters: [String: String]

    /// - Parameter extra: parameters that go before those of the address.
    init(_ address: PostgresAddress, _ configuration: PostgresConfiguration, _ extra: [String: String]) {
        self.address = address
        let seconds = max(2, Int((configuration.connectLimit / .seconds(1)).rounded(.up)))
        let environment = ProcessInfo.processInfo.environment
        var parameters = ["fallback_application_name": "tidemark"]
        if environment["PGCONNECT_TIMEOUT"] == nil { parameters["connect_timeout"] = "\(seconds)" }
        parameters.merge(address.parameters) { $1 }
        // Texts are passed as Swift has them.
        parameters["client_encoding"] = "UTF8"
        self.parameters = parameters.merging(extra) { $1 }
    }

    /// Blocks for as long as it takes: `connect_timeout` for each of the hosts.
    func connect() throws(PostgresError) -> OpaquePointer {
        let pairs = Array(parameters)
        let keywords = pairs.map { strdup($0.key) } + [nil]
        let values = pairs.map { strdup($0.value) } + [nil]
        defer { for text in keywords + values { free(text) } }
        let connection = keywords.map { UnsafePointer($0) }.withUnsafeBufferPointer { keywords in
            values.map { UnsafePointer($0) }.withUnsafeBufferPointer { values in
                PQconnectStartParams(keywords.baseAddress, values.baseAddress, 0)
            }
        }
        guard let connection else {
            throw .cannotConnect(server: address.server, sqlState: nil, problem: "out of memory")
        }
        do throws(PostgresError) {
            try complete(connection)
            return connection
        } catch {
            PQfinish(connection)
            throw error
        }
    }

    private func complete(_ connection: OpaquePointer) throws(PostgresError) {
        // Otherwise libpq writes to standard error what a server warns of with each connection, and what it says when it ends
        // one that is not there yet, which the error says too.
        PQsetNoticeProcessor(connection, { _, _ in }, nil)
        let begun = PQstatus(connection) != CONNECTION_BAD
        // Makes the messages name SQLSTATE, which there is no function for while there is no connection. Nothing but a
        // reset then goes on from host to host as libpq does when it connects, each with its own limit.
        PQsetErrorVerbosity(connection, PQERRORS_VERBOSE)
        if begun { PQreset(connection) }
        PQsetErrorVerbosity(connection, PQERRORS_DEFAULT)
        guard PQstatus(connection) == CONNECTION_OK else {
            let (sqlState, problem) = describe(connection)
            throw .cannotConnect(server: address.server, sqlState: sqlState, problem: problem)
        }
        guard PQserverVersion(connection) >= Self.lowestVersion else {
            let version = PQparameterStatus(connection, "server_version").map { String(cString: $0) } ?? "unknown"
            throw .serverTooOld(server: address.server, version: version)
        }
    }

    private func describe(_ connection: OpaquePointer) -> (sqlState: String?, problem: String) {
        let message = PQerrorMessage(connection).map { String(cString: $0) } ?? ""
        var sqlState: String?
        var lines: [String] = []
        for line in message.split(separator: "\n") where !line.hasPrefix("LOCATION:") {
            guard let match = line.firstMatch(of: #/: {2}(?<state>[0-9A-Z]{5}): /#) else {
                lines.append(String(line))
                continue
            }
            sqlState = String(match.state)
            lines.append(line[..<match.range.lowerBound] + ": " + line[match.range.upperBound...])
        }
        var problem = Self.oneLine(lines.joined(separator: "\n"))
        // Also the one of the password file.
        let secrets = address.secrets + [PQpass(connection).map { String(cString: $0) } ?? ""]
        for secret in secrets where !secret.isEmpty { problem = problem.replacing(secret, with: "(withheld)") }
        return (sqlState, problem.isEmpty ? "no reason was given" : problem)
    }

    /// A message of libpq as part of a sentence.
    static func oneLine(_ message: String) -> String {
        message.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }.joined(separator: "; ")
    }
}
