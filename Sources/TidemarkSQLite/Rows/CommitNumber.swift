/// The numbers of commits: a count, and below it random bits.
///
/// They ascend, so that what came after a checkpoint can be told; and two lives of one database, which a restored backup
/// makes, give different numbers to commits that have the same place.
enum CommitNumber {
    /// As many bits are random; the count has 43, enough for 50 years with 5,000 commits a second.
    static let markBits = 20

    /// How many commits there were up to this one.
    ///
    /// - Parameter unmarked: how many of the first have numbers that are counts alone.
    static func place(of number: Int64, unmarked: Int64) -> Int64 {
        number <= unmarked ? number : number >> Int64(markBits)
    }

    /// - Parameter mark: its random bits.
    static func next(after number: Int64, mark: Int64 = makeMark()) -> Int64 {
        ((number >> Int64(markBits)) + 1) << Int64(markBits) | mark
    }

    static func makeMark() -> Int64 { Int64.random(in: 0..<(1 << Int64(markBits))) }

    static func mark(of number: Int64) -> Int64 { number & (1 << Int64(markBits) - 1) }
}
