import Testing
import TidemarkCore
import TidemarkWire

/// Lines are the same after parsing and printing, whatever they are.
@Suite struct RandomLineTests {
    private static let names = ["p1", "event_persister-1", "master", String(repeating: "n", count: 128), "~"]
    private static let scalars = Array("ab \"\\/[]{}:,\u{E9}\u{301}\u{1F600}\t\u{1}\u{7F}\u{2028}".unicodeScalars)

    @Test(arguments: UInt64(1)...8)
    func `commands are the same after printing and parsing`(_ seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        for _ in 0..<500 {
            let command = try Self.command(&random)
            #expect(try ReplicationCommand(parsing: command.line) == command)
            let bytes = Array(command.line.utf8)
            #expect(try ReplicationCommand.parse(bytes.span) == command)
        }
    }

    /// Lines one or a few bytes away from good ones: either refused, or the same after parsing and printing.
    @Test(arguments: UInt64(1)...8)
    func `damaged lines are refused or printed as they were`(_ seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        var parsed = 0
        for _ in 0..<2000 {
            var line = Array(try Self.command(&random).line.utf8)
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let place = Int.random(in: 0..<line.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: line[place] = UInt8.random(in: .min ... .max, using: &random)
                case 1: line.insert([0x20, 0x22, 0x30, 0x2D, 0x5C, 0x0A].randomElement(using: &random) ?? 0, at: place)
                default: if line.count > 1 { line.remove(at: place) }
                }
            }
            guard let command = try? ReplicationCommand.parse(line.span) else { continue }
            parsed += 1
            var printed: [UInt8] = []
            command.append(to: &printed)
            #expect(printed == line || printed + [UInt8(ascii: " ")] == line)
            #expect(try ReplicationCommand.parse(printed.span) == command)
        }
        #expect(parsed > 100)
    }

    private static func command(_ random: inout SplitMix64) throws -> ReplicationCommand {
        let writer = Writer(
            try name(&random), epoch: Bool.random(using: &random) ? 0 : .random(in: 1...999, using: &random))
        let nonce: Int64? =
            writer.epoch == 0 || Bool.random(using: &random) ? nil : .random(in: 1 ... .max, using: &random)
        let stream = try StreamName(validating: names.randomElement(using: &random) ?? "events")
        switch Int.random(in: 0..<9, using: &random) {
        case 0: return .error(try SimpleText(validating: text(&random)))
        case 1: return .replicate
        case 2:
            let token: ReplicationRow.Token = Bool.random(using: &random) ? .batch : .id(id(&random))
            return .rdata(.init(stream: stream, writer: writer, nonce: nonce, token: token, row: try json(&random)))
        case 3:
            return .position(
                .init(stream: stream, writer: writer, nonce: nonce, previous: id(&random), new: id(&random)))
        case 4:
            return .userSync(
                try UserSync(
                    instanceID: field(&random), user: field(&random),
                    device: Bool.random(using: &random) ? nil : field(&random), state: .end,
                    lastSyncMilliseconds: id(&random).rawValue))
        case 5: return .clearUserSync(ClearUserSync(instanceID: try field(&random)))
        case 6: return .federationAck(FederationAck(writer: writer, token: id(&random)))
        case 7:
            return .userIP(
                UserIP(
                    user: try field(&random), accessToken: text(&random), ip: text(&random), userAgent: text(&random),
                    device: Bool.random(using: &random) ? nil : text(&random),
                    lastSeenMilliseconds: id(&random).rawValue))
        default: return .lockReleased(LockReleased(writer: writer, lockName: text(&random), lockKey: text(&random)))
        }
    }

    private static func name(_ random: inout SplitMix64) throws -> InstanceName {
        try InstanceName(validating: names.randomElement(using: &random) ?? "p1")
    }

    /// Of every length, and often at an end of the range.
    private static func id(_ random: inout SplitMix64) -> StreamID {
        let number = Int64.random(in: .min ... .max, using: &random) >> Int.random(in: 0..<64, using: &random)
        return StreamID([number, number, number, .min, .max].randomElement(using: &random) ?? 0)
    }

    private static func text(_ random: inout SplitMix64) -> String {
        var text = String.UnicodeScalarView()
        for _ in 0..<Int.random(in: 0..<20, using: &random) {
            if let scalar = scalars.randomElement(using: &random) { text.append(scalar) }
        }
        return String(text)
    }

    private static func field(_ random: inout SplitMix64) throws -> FieldText {
        try FieldText(validating: "f" + String(text(&random).unicodeScalars.filter { $0 != " " }))
    }

    private static func json(_ random: inout SplitMix64) throws -> JSONText {
        func value(_ depth: Int) -> String {
            let space = [" ", "", "", "\t"].randomElement(using: &random) ?? ""
            let count = Int.random(in: 0..<4, using: &random)
            switch Int.random(in: depth > 3 ? 2..<6 : 0..<6, using: &random) {
            case 0: return "[" + (0..<count).map { _ in value(depth + 1) }.joined(separator: space + ",") + space + "]"
            case 1:
                return "{" + (0..<count).map { "\"\($0)\"" + space + ":" + value(depth + 1) }.joined(separator: ",")
                    + "}"
            case 2: return space + #""a\u00e9 \"é, long enough for words""#
            case 3: return id(&random).description
            case 4: return "-0.25E+7"
            default: return "null" + space
            }
        }
        return try JSONText(validating: value(0))
    }
}
