import ArgumentParser

/// The value of an option that is a number, within its limits.
///
/// Such options take what follows them whatever it looks like (`parsing: .unconditional`): a number below 0 looks like an
/// option, and would be called a missing value.
enum NumberOption {
    /// - Parameter allowed: what may be given, in words.
    /// - Throws: `ValidationError`, which says what may be given.
    static func parse<Number: LosslessStringConvertible & Comparable>(
        _ text: String, in range: ClosedRange<Number>, _ allowed: String
    ) throws -> Number {
        guard let number = Number(text), range.contains(number) else { throw ValidationError("give \(allowed)") }
        return number
    }

    @Sendable static func streamID(_ text: String) throws -> Int64 {
        try parse(text, in: 0 ... .max, "a stream ID, from 0 on")
    }
}
