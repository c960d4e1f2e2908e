import CLibpq
import Foundation

/// A connection string of libpq. No description and no reflection of this value shows a password.
public struct PostgresAddress: Hashable, Sendable {
    /// What the string says, by libpq's keywords.
    let parameters: [String: String]

    /// - Throws: ``PostgresError/invalidAddress(problem:)``, which holds no part of the text.
    public init(parsing text: String) throws(PostgresError) {
        if text.utf8.contains(0) { throw .invalidAddress(problem: "it has a zero byte") }
        var message: UnsafeMutablePointer<CChar>?
        guard let options = PQconninfoParse(text, &message) else {
            defer { PQfreemem(message) }
            throw .invalidAddress(
                problem: Self.withoutQuotations(message.map { String(cString: $0) } ?? "out of memory"))
        }
        defer { PQconninfoFree(options) }
        var parameters: [String: String] = [:]
        var option = options
        while let keyword = option.pointee.keyword {
            if let value = option.pointee.val { parameters[String(cString: keyword)] = String(cString: value) }
            option += 1
        }
        // What follows the first '@' of a password that has one is read as the name of a host.
        if parameters["host"]?.contains("@") == true {
            throw .invalidAddress(problem: "the host has an '@', which is part of a password perhaps")
        }
        // libpq itself looks at it only when it connects.
        let ports = Self.list(parameters["port"]).filter { !$0.isEmpty }
        guard ports.allSatisfy({ (1...65_535).contains(Int($0) ?? 0) }) else {
            throw .invalidAddress(problem: "a port is a number from 1 to 65535")
        }
        self.parameters = parameters
    }

    /// libpq quotes from the string where something is wrong with it, and a password may be there.
    private static func withoutQuotations(_ message: String) -> String {
        let line = message.trimmingCharacters(in: .whitespacesAndNewlines)
        guard let first = line.firstIndex(of: "\""), let last = line.lastIndex(of: "\""), first < last else {
            return line
        }
        return line[..<first] + "\"…" + line[last...]
    }

    /// The role that connects; nil where neither the address nor the environment names it.
    var user: String? { parameters["user"] ?? ProcessInfo.processInfo.environment["PGUSER"] }

    /// The server and the database as one would name them in a sentence.
    var server: String {
        if let service = parameters["service"] { return "service \(service)" }
        let database = parameters["dbname"].map { "/\($0)" } ?? ""
        let hosts = Self.list(parameters["hostaddr"] ?? parameters["host"])
        let ports = Self.list(parameters["port"])
        if hosts.isEmpty { return "the default host" + (ports.first.map { ":\($0)" } ?? "") + database }
        let places = hosts.enumerated().map { index, host in
            let port = ports.count == 1 ? ports[0] : index < ports.count ? ports[index] : ""
            let name = host.contains(":") ? "[\(host)]" : host
            return port.isEmpty ? name : "\(name):\(port)"
        }
        return places.joined(separator: ",") + database
    }

    private static func list(_ text: String?) -> [String] {
        guard let text, !text.isEmpty else { return [] }
        return text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    }

    /// What must not be shown, wherever libpq may have it from.
    var secrets: [String] {
        [parameters["password"], parameters["sslpassword"], ProcessInfo.processInfo.environment["PGPASSWORD"]]
            .compactMap { $0 }
    }
}

extension PostgresAddress: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// Where it is, without what it takes to log in.
    public var description: String { server }

    public var debugDescription: String { description }

    public var customMirror: Mirror { Mirror(self, children: ["server": server]) }
}
