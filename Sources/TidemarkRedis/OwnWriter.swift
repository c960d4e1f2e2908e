import TidemarkCore
import TidemarkWire

/// Recognises rows and positions of the participant itself by the writer that they name.
///
/// Only epochs that it spoke for, and earlier ones, which others have given up as well: a newer epoch of its name is
/// another process, and has to be heard.
struct OwnWriter {
    private let name: InstanceName
    private var newest: Speaker?

    init(name: InstanceName) { self.name = name }

    mutating func sent(_ command: ReplicationCommand) {
        guard let speaker = Self.speaker(of: command), speaker.writer.instance == name else { return }
        if let newest, newest.writer.epoch > speaker.writer.epoch { return }
        newest = speaker
    }

    func isOwn(_ command: ReplicationCommand) -> Bool {
        guard let newest, let speaker = Self.speaker(of: command) else { return false }
        // With another nonce it is a writer of another database, of which has to be heard that it is there.
        return speaker == newest
            || speaker.writer.instance == name && speaker.writer.epoch < newest.writer.epoch
    }

    private static func speaker(of command: ReplicationCommand) -> Speaker? {
        switch command {
        case .rdata(let row): row.speaker
        case .position(let position): position.speaker
        default: nil
        }
    }
}
