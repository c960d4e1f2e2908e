import TidemarkCore

/// Recognises rows and positions of the participant itself by the writer that they name.
///
/// Only epochs that it spoke for, and earlier ones, which others have given up as well: a newer epoch of its name is
/// another process, and has to be heard.
struct OwnWriter {
    private let name: InstanceName
    private var newestEpoch: Int?

    init(name: InstanceName) { self.name = name }

    mutating func sent(_ command: ReplicationCommand) {
        guard let writer = Self.writer(of: command), writer.instance == name else { return }
        newestEpoch = max(newestEpoch ?? writer.epoch, writer.epoch)
    }

    func isOwn(_ command: ReplicationCommand) -> Bool {
        guard let newestEpoch, let writer = Self.writer(of: command) else { return false }
        return writer.instance == name && writer.epoch <= newestEpoch
    }

    private static func writer(of command: ReplicationCommand) -> Writer? {
        switch command {
        case .rdata(let row): row.writer
        case .position(let position): position.writer
        default: nil
        }
    }
}
