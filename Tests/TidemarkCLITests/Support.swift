import Foundation
import TestSupport
import Testing

extension Program {
    /// Starts the program `tidemark`.
    convenience init(_ arguments: [String], reader: Reader = .attentive) throws {
        try self.init("tidemark", arguments, reader: reader)
    }

    /// Starts a script of the shell, in which "$0" is the program `tidemark` and "$1" the path of a database.
    static func shell(_ script: String, database: String) throws -> Program {
        try Program(
            executable: URL(fileURLWithPath: "/bin/bash"), ["-c", script, executable("tidemark").path, database])
    }

    /// Starts the program `tidemark` as somebody who may not do everything: this user, or another one where this is root.
    static func asPlainUser(_ arguments: [String]) throws -> Program {
        let tidemark = try executable("tidemark").path
        if getuid() != 0 { return try Program(executable: URL(fileURLWithPath: tidemark), arguments) }
        return try Program(
            executable: URL(fileURLWithPath: "/usr/bin/env"),
            ["setpriv"] + Surroundings.plainUser + [tidemark] + arguments)
    }

    /// Runs the program `tidemark` to its end with this input.
    static func run(_ arguments: String..., input: [UInt8] = []) async throws -> Outcome {
        try await run(arguments, input: input)
    }

    /// The same.
    static func run(_ arguments: [String], input: [UInt8] = []) async throws -> Outcome {
        let program = try Program(arguments)
        program.write(input)
        program.endInput()
        return try await program.outcome()
    }
}

/// Lines as a program would log them, all different, with characters of several bytes and spaces between values.
func generatedLines(_ numbers: Range<Int>) -> [String] {
    numbers.map { number in
        let text = String(repeating: "äö🌊 \\n\\\"", count: number % 7)
        return "{\"id\":\"event-\(number)\", \"type\" : \"noted\",\"key\":\"room-\(number % 5)\",\"text\":\"\(text)\"}"
    }
}

func bytes(_ lines: [String]) -> [UInt8] {
    Array(lines.map { $0 + "\n" }.joined().utf8)
}

/// The `stream_id` of a line of `tail`, and the event as it went in.
func parsed(_ line: String) throws -> (streamID: Int, event: String) {
    let afterID = try #require(line.range(of: ",\"instance\":"))
    let start = try #require(line.range(of: ",\"event\":"))
    let id = try #require(Int(line[..<afterID.lowerBound].dropFirst("{\"stream_id\":".count)))
    return (id, String(line[start.upperBound...].dropLast()))
}
