import Dispatch

/// What libFuzzer calls with each input: a session whose peer does as the input says.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzSession(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    // libFuzzer lends `count` bytes until this returns; they are copied at once.
    let input = Array(UnsafeBufferPointer(start: start, count: count))
    let isOver = DispatchSemaphore(value: 0)
    Task {
        do {
            try await FuzzedSession.run(input)
        } catch {
            fatalError("\(error)")
        }
        isOver.signal()
    }
    isOver.wait()
    return 0
}
