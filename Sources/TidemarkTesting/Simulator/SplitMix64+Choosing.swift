import Tidemark

extension SplitMix64 {
    /// Uniform in 0..<bound, but for a bias of at most bound / 2^64.
    mutating func below(_ bound: Int) -> Int {
        precondition(bound > 0, "there is nothing to choose from")
        return Int(next().multipliedFullWidth(by: UInt64(bound)).high)
    }

    mutating func chance(_ percent: Int) -> Bool { below(100) < percent }
}
