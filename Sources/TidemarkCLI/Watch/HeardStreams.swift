import Tidemark

/// The positions of writers as they are heard, for each stream, and the least of them.
///
/// Without a database nobody knows who the members are, and what is not heard is not counted: a writer that has said
/// nothing yet may be further back. So the least position is an estimate.
///
/// A row of a writer without an epoch moves its position: what such software means by it is that it is that far. A row of
/// a Tidemark writer only says that one ID is finished, and moves nothing. And such software may begin a stream again at 0
/// with its process: the position is what it said last, also where that is less.
struct HeardStreams {
    struct Position: Hashable {
        let writer: Writer
        let position: StreamID
    }

    struct Summary: Hashable {
        let stream: StreamName
        /// By the instance's name.
        let positions: [Position]
        /// Writers that were heard of and are not counted, because there are too many.
        let uncounted: Int

        var estimatedMinimum: StreamID { positions.map(\.position).min() ?? 0 }
    }

    private struct Heard {
        var positions: [InstanceName: Position] = [:]
        var uncounted = 0
    }

    /// Names come from outside, and memory has a bound.
    static let streamLimit = 1000
    static let writerLimit = 1000

    private var streams: [StreamName: Heard] = [:]
    private var changed: Set<StreamName> = []

    mutating func heard(_ command: ReplicationCommand) {
        switch command {
        case .position(let said):
            // With a previous position above the new one it says that rows were not sent, and not where it is.
            if said.writer.epoch == 0, said.previous > said.new { return }
            heard(Position(writer: said.writer, position: said.new), in: said.stream)
        case .rdata(let row):
            guard row.writer.epoch == 0, case .id(let id) = row.token else { return }
            heard(Position(writer: row.writer, position: id), in: row.stream)
        default:
            break
        }
    }

    private mutating func heard(_ new: Position, in stream: StreamName) {
        if streams[stream] == nil, streams.count >= Self.streamLimit { return }
        var heard = streams[stream] ?? Heard()
        let instance = new.writer.instance
        if let old = heard.positions[instance] {
            // An epoch before the newest promises nothing any more; a position that is late is still true.
            let isNews =
                new.writer.epoch > old.writer.epoch
                || (new.writer.epoch == old.writer.epoch && new.position > old.position)
                || (new.writer.epoch == 0 && old.writer.epoch == 0 && new.position != old.position)
            if !isNews { return }
        } else if heard.positions.count >= Self.writerLimit {
            heard.uncounted += 1
            streams[stream] = heard
            return
        }
        heard.positions[instance] = new
        streams[stream] = heard
        changed.insert(stream)
    }

    var hasChanged: Bool { !changed.isEmpty }

    /// The streams that have changed since the last time, by name.
    mutating func takeChanged() -> [Summary] {
        defer { changed = [] }
        return changed.sorted().map { summary(of: $0) }
    }

    private func summary(of stream: StreamName) -> Summary {
        let heard = streams[stream] ?? Heard()
        return Summary(
            stream: stream,
            positions: heard.positions.values.sorted { $0.writer.instance < $1.writer.instance },
            uncounted: heard.uncounted)
    }
}
