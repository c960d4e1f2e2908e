import Tidemark

/// What happened in a simulation: a hash over all of it, and the text when somebody wants to read it.
struct SimulationHistory: Sendable {
    private(set) var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    private(set) var lines: [String] = []
    let isKept: Bool

    init(isKept: Bool) {
        self.isKept = isKept
    }

    mutating func add(_ number: Int) {
        hash = SplitMix64.mixed(hash &+ UInt64(bitPattern: Int64(number)))
    }

    mutating func add(_ line: @autoclosure () -> String) {
        if isKept { lines.append(line()) }
    }
}
