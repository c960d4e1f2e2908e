import Foundation

/// Goes over the members of an object in bytes that are known to be one JSON value in UTF-8, without looking into
/// their values.
struct JSONMemberScanner {
    private let json: ArraySlice<UInt8>
    private var offset: Int

    init(_ json: ArraySlice<UInt8>) {
        self.json = json
        offset = json.startIndex
    }

    /// False when the value is not an object.
    mutating func enterObject() -> Bool {
        skipSpace()
        guard offset < json.endIndex, json[offset] == UInt8(ascii: "{") else { return false }
        offset += 1
        return true
    }

    /// The next member: its name with its quotes, and its value without the space around it.
    mutating func next() -> (name: ArraySlice<UInt8>, value: ArraySlice<UInt8>)? {
        skipSpace()
        if json[offset] == UInt8(ascii: ",") {
            offset += 1
            skipSpace()
        }
        guard json[offset] == UInt8(ascii: "\"") else { return nil }
        let name = string()
        skipSpace()
        offset += 1  // the colon
        skipSpace()
        return (name, value())
    }

    /// The text of a JSON string; nil where it holds half a surrogate pair, which no text can.
    static func text(_ string: ArraySlice<UInt8>) -> String? {
        if !string.contains(UInt8(ascii: "\\")) {
            return String(decoding: string.dropFirst().dropLast(), as: UTF8.self)
        }
        return try? JSONDecoder().decode(String.self, from: Data(string))
    }

    private mutating func skipSpace() {
        while offset < json.endIndex, json[offset] == UInt8(ascii: " ") || json[offset] == UInt8(ascii: "\t") {
            offset += 1
        }
    }

    private mutating func string() -> ArraySlice<UInt8> {
        let start = offset
        offset += 1
        while json[offset] != UInt8(ascii: "\"") {
            offset += json[offset] == UInt8(ascii: "\\") ? 2 : 1
        }
        offset += 1
        return json[start..<offset]
    }

    private mutating func value() -> ArraySlice<UInt8> {
        if json[offset] == UInt8(ascii: "\"") { return string() }
        let start = offset
        var end = offset
        var depth = 0
        scan: while true {
            switch json[offset] {
            case UInt8(ascii: "\""):
                _ = string()
                end = offset
                continue scan
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                if depth == 0 { break scan }
                depth -= 1
            case UInt8(ascii: ","):
                if depth == 0 { break scan }
            case UInt8(ascii: " "), UInt8(ascii: "\t"):
                offset += 1
                continue scan
            default:
                break
            }
            offset += 1
            end = offset
        }
        return json[start..<end]
    }
}
