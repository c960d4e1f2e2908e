/// What libFuzzer calls with each input: a line that is a command prints as it was, and parses again to an equal value.
///
/// It is compiled into one module with the parser, so that coverage guides the search through all of it.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzReplicationLine(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    // libFuzzer lends `count` bytes until this returns; they are copied at once.
    let line = Array(UnsafeBufferPointer(start: start, count: count))
    let command: ReplicationCommand
    do {
        command = try ReplicationCommand.parse(line.span)
    } catch {
        precondition(!error.description.utf8.contains(UInt8(ascii: "\n")), "an error is one line")
        if let text = String(validating: line, as: UTF8.self) {
            precondition((try? ReplicationCommand(parsing: text)) == nil, "a text parses as its bytes do")
        }
        return 0
    }

    var printed: [UInt8] = []
    command.append(to: &printed)
    precondition(printed == line || printed + [UInt8(ascii: " ")] == line, "a line prints as it was")
    precondition(Array(command.line.utf8) == printed, "a command has one line")
    precondition(!printed.contains(UInt8(ascii: "\n")) && !printed.contains(UInt8(ascii: "\r")), "a line is one line")
    do {
        let again = try ReplicationCommand.parse(printed.span)
        precondition(again == command && again.hashValue == command.hashValue, "a printed command is the same one")
        let fromText = try ReplicationCommand(parsing: command.line)
        precondition(fromText == command, "a text parses as its bytes do")
    } catch {
        preconditionFailure("a printed command is a command: \(error)")
    }
    precondition(!command.description.utf8.contains(UInt8(ascii: "\n")), "a description is one line")
    return 0
}
