import NIOCore

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Cuts what arrives into lines.
struct LineFraming {
    /// A line that goes on beyond the limit: where the next one begins can no longer be told with bounded memory.
    struct LineTooLong: Error, Hashable, CustomStringConvertible {
        let limit: Int
        var description: String { "a line is longer than \(limit) bytes" }
    }

    private let limit: Int
    private var pending = ByteBuffer()
    /// How many of the pending bytes were searched: a line that arrives in many pieces is searched once.
    private var searched = 0

    /// - Parameter limit: the longest line, in bytes without its newline.
    init(limit: Int) { self.limit = limit }

    mutating func append(_ bytes: ByteBuffer) {
        if pending.readableBytes == 0 {
            pending = bytes
        } else {
            pending.discardReadBytes()
            pending.writeImmutableBuffer(bytes)
        }
    }

    /// The next whole line without its newline, if there is one.
    mutating func next() throws(LineTooLong) -> ByteBuffer? {
        let start = searched
        let found: Int? = pending.withUnsafeReadableBytes { bytes in
            guard let base = bytes.baseAddress, bytes.count > start,
                let newline = memchr(base + start, 0x0A, bytes.count - start)
            else { return nil }
            return UnsafeRawPointer(newline) - base
        }
        guard let length = found else {
            searched = pending.readableBytes
            if searched > limit { throw LineTooLong(limit: limit) }
            return nil
        }
        if length > limit { throw LineTooLong(limit: limit) }
        searched = 0
        let line = pending.readSlice(length: length)
        pending.moveReaderIndex(forwardBy: 1)
        return line
    }
}
