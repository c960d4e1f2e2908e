#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Why the folder of the socket cannot be used.
public enum SocketFolderError: Error, Hashable, Sendable {
    /// The folder belongs to another user: whoever owns it decides who hears the commands.
    case notOwned(path: String, owner: UInt32)
    /// Other users can enter the folder; `mode` is its permissions.
    case openToOthers(path: String, mode: UInt32)
    /// The folder's name stands for a symbolic link, which others may have put there.
    case symbolicLink(path: String)
    /// What has the socket's name was made by another program.
    case nameIsTaken(path: String)
    /// The path is longer than a socket's address can be, and this system has no way around that.
    case pathTooLong(path: String, limit: Int)
    /// A system call failed.
    case systemCall(name: String, path: String, number: Int32)
}

extension SocketFolderError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .notOwned(let path, let owner):
            "the folder \(path) belongs to the user with number \(owner): run as that user, or choose another folder"
        case .openToOthers(let path, let mode):
            "other users can enter the folder \(path) (its mode is \(String(mode, radix: 8))): make it mode 700"
        case .symbolicLink(let path):
            "\(path) is a symbolic link, and the folder of the socket must not be one: give the folder that is meant"
        case .nameIsTaken(let path):
            "\(path) was made by another program: choose another folder"
        case .pathTooLong(let path, let limit):
            "the socket's path \(path) is longer than \(limit) bytes: choose a shorter folder"
        case .systemCall("mkdir", let path, ENOENT):
            "the folder \(path) cannot be made, because the one that it is to be in is not there: make that first"
        case .systemCall(let name, let path, let number):
            "\(name) failed for \(path): \(String(cString: strerror(number)))"
        }
    }

    /// The error of the system call that has just failed.
    static func last(_ name: String, _ path: String) -> SocketFolderError {
        .systemCall(name: name, path: path, number: errno)
    }
}
