import Foundation

/// Runs what computes or waits for long without a pause on a thread of its own: Swift's threads, of which there are as many as
/// processors, are left to the other tests.
public func onThreadOfItsOwn<Value: Sendable>(_ body: @escaping @Sendable () -> Value) async -> Value {
    await withCheckedContinuation { continuation in
        let thread = Thread { continuation.resume(returning: body()) }
        // As much as the first thread of a process has; a simulation is not made for half a megabyte.
        thread.stackSize = 8 << 20
        thread.start()
    }
}
