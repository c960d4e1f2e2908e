import Foundation

/// What this process may do here, for the traits of tests: one that needs more shows as skipped.
public enum Surroundings {
    /// Whether a process may have a view of the file system of its own: root, and often users too.
    public static let mayMount = succeeds(
        "unshare", "--map-root-user", "--mount", "--propagation", "private", "mount", "-t", "tmpfs", "none", "/proc")

    /// Whether a program can be run as a user who may not do everything: this one, or another one where this is root.
    public static let hasPlainUser = getuid() != 0 || succeeds(["setpriv"] + plainUser + ["true"])

    /// The options of `setpriv` for a user who owns nothing.
    public static let plainUser = ["--reuid", "65534", "--regid", "65534", "--clear-groups"]

    private static func succeeds(_ command: String...) -> Bool { succeeds(command) }

    private static func succeeds(_ command: [String]) -> Bool {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = command
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return false }
        process.waitUntilExit()
        return process.terminationStatus == 0
    }
}
