import ArgumentParser
import Foundation
import Tidemark

/// What the environment says of options that were left out, under the names of the library's configuration keys:
/// `TIDEMARK_DATABASE` and the like. A variable that is empty says nothing.
enum ProgramEnvironment {
    /// The keys that the program takes. Others, such as `TIDEMARK_LOG_SILENCE_TIMEOUT`, are for programs with the library.
    static let keys = ["database", "direct", "namespace", "stream", "instance", "replication"]

    static func value(_ key: String) -> String? {
        ProcessInfo.processInfo.environment[variable(key)].flatMap { $0.isEmpty ? nil : $0 }
    }

    /// - Throws: ``InvalidVariable``, which says what `parse` threw.
    static func parsed<Value>(_ key: String, _ parse: (String) throws -> Value) throws -> Value? {
        try value(key).map { try naming(key, of: $0, parse) }
    }

    /// - Throws: ``InvalidVariable`` for what `parse` throws, which shows no value by itself: there may be a password in it.
    static func naming<Value>(_ key: String, of text: String, _ parse: (String) throws -> Value) throws -> Value {
        do {
            return try parse(text)
        } catch let error as InvalidVariable {
            throw error
        } catch let error as ValidationError {
            throw InvalidVariable(name: variable(key), problem: error.message)
        } catch {
            throw InvalidVariable(name: variable(key), problem: "\(error)")
        }
    }

    /// Looks for a variable that is much like one of the program's and is none of the library's: it would count for nothing in
    /// silence. What is not like one is somebody else's, as the variables that a container platform makes for a service of
    /// this name.
    ///
    /// - Throws: ``InvalidVariable``.
    static func check() throws {
        let known = keys.map(variable)
        let others = Set(ConfigurationKey.all.map(\.variable))
        for name in ProcessInfo.processInfo.environment.keys.sorted() {
            guard name.hasPrefix("TIDEMARK_"), !known.contains(name), !others.contains(name),
                let likely = Spelling.nearest(to: name, among: known)
            else { continue }
            throw InvalidVariable(name: name, problem: "there is no such setting: did you mean \(likely)?")
        }
    }

    private static func variable(_ key: String) -> String { "TIDEMARK_\(key.uppercased())" }
}

/// A variable of the environment that does not fit.
struct InvalidVariable: ProgramError {
    let name: String
    let problem: String

    var status: ExitStatus { .usage }
    var description: String { "\(name) in the environment: \(problem)" }
}
