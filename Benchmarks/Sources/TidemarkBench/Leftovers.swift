import Dispatch
import Foundation
import Synchronization

/// What a run would leave behind if it ended now: its children, by their process IDs, and its folders.
///
/// A run that is interrupted, or gives up, takes them away first. (One that is killed cannot: its children end because
/// their input does, and the kernel continues those that are stopped, as they have lost their parent.)
final class Leftovers: Sendable {
    static let ofThisProcess = Leftovers()

    private struct State {
        var children: [ObjectIdentifier: Process] = [:]
        var folders: Set<URL> = []
        var sources: [any DispatchSourceSignal] = []
    }

    private let state = Mutex(State())

    func add(_ child: Process) {
        state.withLock { $0.children[ObjectIdentifier(child)] = child }
    }

    func remove(_ child: Process) {
        state.withLock { $0.children[ObjectIdentifier(child)] = nil }
    }

    func add(_ folder: URL) {
        state.withLock { _ = $0.folders.insert(folder) }
    }

    /// Removes the folder itself, too.
    func remove(_ folder: URL) {
        state.withLock { _ = $0.folders.remove(folder) }
        try? FileManager.default.removeItem(at: folder)
    }

    /// Ends the children and removes the folders.
    func clear() {
        let (children, folders) = state.withLock { state in
            defer { (state.children, state.folders) = ([:], []) }
            return (state.children, state.folders)
        }
        for child in children.values where child.isRunning { kill(child.processIdentifier, SIGKILL) }
        for folder in folders { try? FileManager.default.removeItem(at: folder) }
    }

    /// From now on a signal that ends the run clears first; the status is the shell's for that signal.
    func clearOnSignals() {
        for number in [SIGINT, SIGTERM, SIGHUP] {
            signal(number, SIG_IGN)
            state.withLock { state in
                let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
                source.setEventHandler { [self] in
                    clear()
                    exit(128 + number)
                }
                source.activate()
                state.sources.append(source)
            }
        }
    }
}
