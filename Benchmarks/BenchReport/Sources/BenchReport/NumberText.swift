/// Numbers as people read them.
public enum NumberText {
    /// What stands where there is no number.
    public static let none = "–"

    /// Keeps a number and its unit on one line.
    private static let space = "\u{00A0}"

    /// Three digits that say something, and a narrow space between thousands.
    public static func short(_ value: Double?) -> String {
        guard let value, value.isFinite else { return none }
        let magnitude = value.magnitude
        if magnitude >= 100 { return grouped(value) }
        if magnitude >= 10 { return fixed(value, decimals: 1) }
        if magnitude >= 0.1 || value == 0 { return fixed(value, decimals: 2) }
        return fixed(value, decimals: 4)
    }

    /// A duration of so many milliseconds, in the unit that suits it.
    public static func duration(milliseconds value: Double?) -> String {
        guard let value, value.isFinite else { return none }
        return value.magnitude >= 1_000 ? short(value / 1_000) + space + "s" : short(value) + space + "ms"
    }

    /// For the marks of an axis.
    static func seconds(_ value: Double) -> String {
        value == 0 ? "0" : duration(milliseconds: value * 1_000)
    }

    public static func percent(_ fraction: Double?) -> String {
        guard let fraction, fraction.isFinite else { return none }
        return short(fraction * 100) + space + "%"
    }

    /// Exactly so many decimals, without zeros at the end.
    static func fixed(_ value: Double, decimals: Int) -> String {
        var scale = 1.0
        for _ in 0..<decimals { scale *= 10 }
        let scaled = Int64((value.magnitude * scale).rounded())
        if scaled == 0 { return "0" }
        let whole = scaled / Int64(scale)
        var fraction = String(scaled % Int64(scale))
        fraction = String(repeating: "0", count: decimals - fraction.count) + fraction
        while fraction.last == "0" { fraction.removeLast() }
        return (value < 0 ? "-" : "") + "\(whole)" + (fraction.isEmpty ? "" : "." + fraction)
    }

    private static func grouped(_ value: Double) -> String {
        guard value.magnitude < 1e15 else { return "\(value)" }
        let digits = Array(String(Int64(value.magnitude.rounded())))
        var text = ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index).isMultiple(of: 3) { text += "\u{202F}" }
            text.append(digit)
        }
        return (value < 0 ? "-" : "") + text
    }
}
