/// The positions of a stream's members but this instance, with the least of them at hand.
///
/// A binary min-heap whose entries know their place in it (Williams 1964, "Algorithm 232: Heapsort", with handles):
/// raising one position costs the logarithm of the number of members.
public struct PositionHeap: Sendable {
    private var writers: [Writer] = []
    private var positions: [StreamID] = []
    private var numbers: [InstanceName: Int] = [:]
    /// Numbers of members, in heap order by position.
    private var heap: [Int] = []
    /// The place of each member in `heap`.
    private var places: [Int] = []

    /// Traps when a name is there in two epochs: the database keeps one.
    public init(_ members: [Writer: StreamID] = [:]) {
        for (writer, position) in members {
            let number = writers.count
            precondition(
                numbers.updateValue(number, forKey: writer.instance) == nil,
                "instance \(writer.instance) is a member in two epochs")
            writers.append(writer)
            positions.append(position)
        }
        // An ascending array is a heap.
        heap = positions.indices.sorted { positions[$0] < positions[$1] }
        places = positions.map { _ in 0 }
        for (place, number) in heap.enumerated() { places[number] = place }
    }

    /// How many members there are.
    public var count: Int { heap.count }

    /// The least of all positions; nil without members.
    public var least: StreamID? { heap.first.map { positions[$0] } }

    /// Each member once, in no particular order.
    public var all: [(writer: Writer, position: StreamID)] {
        zip(writers, positions).map { ($0, $1) }
    }

    /// The position of exactly this epoch; nil when it is no member.
    public func position(of writer: Writer) -> StreamID? {
        number(of: writer).map { positions[$0] }
    }

    /// The position of whichever epoch of the name is a member; nil when none is.
    public func position(of instance: InstanceName) -> StreamID? {
        numbers[instance].map { positions[$0] }
    }

    /// The epoch in which the name is a member; nil when it is none.
    public func epoch(of instance: InstanceName) -> Int? {
        numbers[instance].map { writers[$0].epoch }
    }

    /// Raises a member's position; false when this epoch is no member, or its position is as high already.
    public mutating func raise(_ writer: Writer, to position: StreamID) -> Bool {
        guard let number = number(of: writer) else { return false }
        return raise(number, to: position)
    }

    /// The same for the member with this number.
    mutating func raise(_ number: Int, to position: StreamID) -> Bool {
        guard positions[number] < position else { return false }
        positions[number] = position
        sink(number)
        return true
    }

    /// Takes back what was believed of the position of the member with this number.
    mutating func lower(_ number: Int, to position: StreamID) {
        guard positions[number] > position else { return }
        positions[number] = position
        rise(number)
    }

    /// Up to so many members it is quicker to compare names than to hash one.
    private static let few = 8

    /// The number of exactly this epoch, by its place in ``all``; nil when it is no member.
    func number(of writer: Writer) -> Int? {
        if writers.count <= Self.few { return writers.firstIndex(of: writer) }
        guard let number = numbers[writer.instance], writers[number].epoch == writer.epoch else { return nil }
        return number
    }

    private mutating func sink(_ number: Int) {
        let position = positions[number]
        var place = places[number]
        while true {
            var child = 2 * place + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count, positions[heap[child + 1]] < positions[heap[child]] { child += 1 }
            guard positions[heap[child]] < position else { break }
            heap[place] = heap[child]
            places[heap[place]] = place
            place = child
        }
        heap[place] = number
        places[number] = place
    }

    private mutating func rise(_ number: Int) {
        let position = positions[number]
        var place = places[number]
        while place > 0 {
            let parent = (place - 1) / 2
            guard positions[heap[parent]] > position else { break }
            heap[place] = heap[parent]
            places[heap[place]] = place
            place = parent
        }
        heap[place] = number
        places[number] = place
    }
}
