import TidemarkCore

/// Checks that bytes are one JSON value (RFC 8259), in one pass and without calling itself, so that no input can
/// exhaust the stack. Whether the bytes inside strings are UTF-8 is left to the code that makes a text of them.
struct JSONSyntax {
    /// Throws unless `range` of `bytes` is one JSON value of at most ``JSONText/maximumDepth`` levels, without line
    /// breaks. Offsets in errors count from the beginning of the range.
    static func check(_ bytes: Span<UInt8>, _ range: Range<Int>) throws(InvalidJSONText) {
        var syntax = JSONSyntax(start: range.lowerBound, end: range.upperBound)
        try syntax.value(bytes)
        try syntax.skipSpace(bytes)
        if syntax.offset < syntax.end { throw syntax.unexpected }
    }

    private let start: Int
    private let end: Int
    private var offset: Int
    /// The arrays (0) and objects (1) that are open, the innermost in the lowest bit.
    private var containers: UInt128 = 0
    private var depth = 0

    private init(start: Int, end: Int) {
        self.start = start
        self.end = end
        offset = start
    }

    private var unexpected: InvalidJSONText { .unexpected(at: offset - start) }

    /// A value, with all values inside it.
    private mutating func value(_ bytes: Span<UInt8>) throws(InvalidJSONText) {
        while true {
            let first = try token(bytes)
            switch first {
            case UInt8(ascii: "{"):
                try open(object: true)
                if try token(bytes) == UInt8(ascii: "}") { break }
                try key(bytes)
                continue
            case UInt8(ascii: "["):
                try open(object: false)
                if try token(bytes) == UInt8(ascii: "]") { break }
                continue
            default:
                try scalar(bytes, first)
                if depth == 0 { return }
                if try token(bytes) == UInt8(ascii: ",") {
                    try separator(bytes)
                    continue
                }
            }
            if try close(bytes) { return }
        }
    }

    /// At the end of a container: closes it and whatever ends with it, up to the next comma; true when all are closed.
    private mutating func close(_ bytes: Span<UInt8>) throws(InvalidJSONText) -> Bool {
        while true {
            let bracket = containers & 1 == 1 ? UInt8(ascii: "}") : UInt8(ascii: "]")
            guard try token(bytes) == bracket else { throw unexpected }
            offset += 1
            containers >>= 1
            depth -= 1
            if depth == 0 { return true }
            if try token(bytes) == UInt8(ascii: ",") {
                try separator(bytes)
                return false
            }
        }
    }

    private mutating func open(object: Bool) throws(InvalidJSONText) {
        if depth == JSONText.maximumDepth { throw .tooDeep(at: offset - start) }
        containers = containers << 1 | (object ? 1 : 0)
        depth += 1
        offset += 1
    }

    /// A comma, and in an object the key after it.
    private mutating func separator(_ bytes: Span<UInt8>) throws(InvalidJSONText) {
        offset += 1
        if containers & 1 == 1 { try key(bytes) }
    }

    private mutating func key(_ bytes: Span<UInt8>) throws(InvalidJSONText) {
        guard try token(bytes) == UInt8(ascii: "\"") else { throw unexpected }
        try string(bytes)
        guard try token(bytes) == UInt8(ascii: ":") else { throw unexpected }
        offset += 1
    }

    /// The first byte of the next token.
    private mutating func token(_ bytes: Span<UInt8>) throws(InvalidJSONText) -> UInt8 {
        try skipSpace(bytes)
        guard offset < end else { throw .incomplete }
        return bytes[offset]
    }

    private mutating func skipSpace(_ bytes: Span<UInt8>) throws(InvalidJSONText) {
        while offset < end {
            switch bytes[offset] {
            case UInt8(ascii: " "), UInt8(ascii: "\t"): offset += 1
            case UInt8(ascii: "\n"), UInt8(ascii: "\r"): throw .lineBreak(at: offset - start)
            default: return
            }
        }
    }

    private mutating func scalar(_ bytes: Span<UInt8>, _ first: UInt8) throws(InvalidJSONText) {
        switch first {
        case UInt8(ascii: "\""): try string(bytes)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): try number(bytes)
        case UInt8(ascii: "t"): try word(bytes, "true")
        case UInt8(ascii: "f"): try word(bytes, "false")
        case UInt8(ascii: "n"): try word(bytes, "null")
        default: throw unexpected
        }
    }

    private mutating func word(_ bytes: Span<UInt8>, _ word: String) throws(InvalidJSONText) {
        for byte in word.utf8 { try expect(bytes, byte) }
    }

    private mutating func expect(_ bytes: Span<UInt8>, _ byte: UInt8) throws(InvalidJSONText) {
        guard offset < end else { throw .incomplete }
        guard bytes[offset] == byte else { throw unexpected }
        offset += 1
    }

    private mutating func string(_ bytes: Span<UInt8>) throws(InvalidJSONText) {
        offset += 1
        while true {
            offset = ByteScan.firstSpecialInString(bytes, from: offset, to: end)
            guard offset < end else { throw .incomplete }
            switch bytes[offset] {
            case UInt8(ascii: "\""):
                offset += 1
                return
            case UInt8(ascii: "\\"): try escape(bytes)
            case UInt8(ascii: "\n"), UInt8(ascii: "\r"): throw .lineBreak(at: offset - start)
            default: throw unexpected
            }
        }
    }

    private mutating func escape(_ bytes: Span<UInt8>) throws(InvalidJSONText) {
        offset += 1
        guard offset < end else { throw .incomplete }
        switch bytes[offset] {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
            UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            offset += 1
        case UInt8(ascii: "u"):
            offset += 1
            for _ in 0..<4 {
                guard offset < end else { throw .incomplete }
                guard bytes[offset].hexadecimalValue != nil else { throw unexpected }
                offset += 1
            }
        default: throw unexpected
        }
    }

    private mutating func number(_ bytes: Span<UInt8>) throws(InvalidJSONText) {
        if bytes[offset] == UInt8(ascii: "-") { offset += 1 }
        if offset < end, bytes[offset] == UInt8(ascii: "0") {
            offset += 1
        } else {
            try digits(bytes)
        }
        if offset < end, bytes[offset] == UInt8(ascii: ".") {
            offset += 1
            try digits(bytes)
        }
        if offset < end, bytes[offset] | 0x20 == UInt8(ascii: "e") {
            offset += 1
            if offset < end, bytes[offset] == UInt8(ascii: "+") || bytes[offset] == UInt8(ascii: "-") { offset += 1 }
            try digits(bytes)
        }
    }

    /// One digit or more.
    private mutating func digits(_ bytes: Span<UInt8>) throws(InvalidJSONText) {
        guard offset < end else { throw .incomplete }
        guard bytes[offset].isDigit else { throw unexpected }
        repeat { offset += 1 } while offset < end && bytes[offset].isDigit
    }
}

extension UInt8 {
    var isDigit: Bool { self &- UInt8(ascii: "0") < 10 }

    var hexadecimalValue: UInt32? {
        if isDigit { return UInt32(self - UInt8(ascii: "0")) }
        let letter = self | 0x20
        guard (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(letter) else { return nil }
        return UInt32(letter - UInt8(ascii: "a")) + 10
    }
}
