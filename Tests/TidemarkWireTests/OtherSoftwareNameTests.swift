import Testing

import TidemarkCore

@testable import TidemarkWire

/// Names of instances as other software may have them.
@Suite struct OtherSoftwareNameTests {
    @Test(arguments: ["a/b", "a#b", "#a", "a#b#3", "a#b.5", "matrix/worker#one"])
    func `they are heard and printed as they are`(name: String) throws {
        let line = "POSITION caches \(name) 1 2"
        let command = try ReplicationCommand(parsing: line)
        guard case .position(let position) = command else {
            Issue.record("\(command)")
            return
        }
        #expect(position.writer.instance.rawValue == name && position.writer.epoch == 0 && command.line == line)
        // So that a source can name it.
        #expect(try Writer(parsing: name) == position.writer)
    }

    @Test func `an epoch is told from them`() throws {
        #expect(try Writer(parsing: "a#3") == Writer("a", epoch: 3))
        for text in ["a#", "a#007", "a#-1", "a#3x", "a#.5", "a b"] {
            #expect(throws: (any Error).self) { try Writer(parsing: text) }
            #expect(throws: InvalidReplicationCommand.self) {
                try ReplicationCommand(parsing: "POSITION caches \(text) 1 2")
            }
        }
    }

    @Test func `no instance of ones own can have one`() {
        for name in ["a/b", "a#b"] {
            #expect(throws: InvalidName.self) { try InstanceName(validating: name) }
        }
    }
}
