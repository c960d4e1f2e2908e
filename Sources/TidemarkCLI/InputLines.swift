/// Splits bytes that come in chunks into lines, and counts them.
///
/// What is kept between chunks is at most one line of at most `limit` bytes: of a longer line nothing is kept but that
/// it was too long. A last line needs no newline.
struct InputLines {
    enum Content: Equatable {
        /// The line's bytes as they came, without the newline.
        case bytes([UInt8])
        /// The line has more than `limit` bytes.
        case tooLong
    }

    struct Line: Equatable {
        /// Counted from 1.
        let number: Int
        let content: Content
    }

    /// Bytes in a line, without the newline.
    let limit: Int
    private var begun: [UInt8] = []
    private var isTooLong = false
    private var number = 0

    init(limit: Int) {
        self.limit = limit
    }

    /// Hands each line that ends in the chunk to `body`, in order. When `body` throws, the rest of the chunk is lost.
    mutating func take(_ chunk: ArraySlice<UInt8>, _ body: (Line) throws -> Void) rethrows {
        var rest = chunk
        while let newline = rest.firstIndex(of: UInt8(ascii: "\n")) {
            add(rest[..<newline])
            rest = rest[(newline + 1)...]
            try body(endLine())
        }
        add(rest)
    }

    /// The input is at its end: the last line, when it did not end with a newline.
    mutating func finish() -> Line? {
        begun.isEmpty && !isTooLong ? nil : endLine()
    }

    private mutating func add(_ bytes: ArraySlice<UInt8>) {
        if isTooLong { return }
        if begun.count + bytes.count > limit {
            isTooLong = true
            begun = []
        } else if begun.isEmpty {
            begun = Array(bytes)
        } else {
            begun += bytes
        }
    }

    private mutating func endLine() -> Line {
        defer {
            begun = []
            isTooLong = false
        }
        number += 1
        return Line(number: number, content: isTooLong ? .tooLong : .bytes(begun))
    }
}
