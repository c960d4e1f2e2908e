import Foundation
import TestSupport

extension TemporaryFolder {
    /// The folder that transports meet in: not there yet.
    var exchange: String { path + "/exchange" }

    static func permissions(of path: String) throws -> Int? {
        try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
    }
}
