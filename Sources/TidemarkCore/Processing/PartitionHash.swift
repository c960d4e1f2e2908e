/// Which partition of a processor an event belongs to.
///
/// A processor keeps the name of the hash that its partitions were made with: the same key is in the same partition for as long
/// as the processor lives, whichever version of the library computes it.
public enum PartitionHash {
    /// FNV-1a of 64 bits over the key's UTF-8 (Fowler, Noll, Vo), scattered as in SplitMix64; of an event without a key over
    /// its stream ID alone. The number at the end is its version.
    public static let name = "fnv1a64-splitmix64/1"

    /// The greatest number of partitions.
    public static let mostPartitions = 1_024

    /// 0 up to `partitions`, which is excluded.
    ///
    /// - Precondition: `partitions` is 1 to ``mostPartitions``.
    public static func partition(ofKey key: String?, id: StreamID, of partitions: Int) -> Int {
        precondition((1...mostPartitions).contains(partitions), "\(partitions) partitions")
        let hash = key.map(hash) ?? SplitMix64.mixed(UInt64(bitPattern: id.rawValue) &+ SplitMix64.step)
        return Int(truncatingIfNeeded: hash % UInt64(partitions))
    }

    private static func hash(_ key: String) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in key.utf8 {
            hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3
        }
        return SplitMix64.mixed(hash)
    }
}

/// A process that runs a processor, as the database knows it: a random number, not 0, drawn when it begins.
public struct ProcessorProcess: Hashable, Sendable, CustomStringConvertible {
    /// The number that the database keeps. It says nothing by its size.
    public let rawValue: Int64

    /// For processors, which draw it, and for stores.
    public init(_ rawValue: Int64) { self.rawValue = rawValue }

    public var description: String { String(UInt64(bitPattern: rawValue), radix: 16) }

    /// How much this process is to have the partition: the process with the most of all gets it. (Rendezvous hashing: Thaler,
    /// Ravishankar, "Using name-based mappings to increase hit rates", 1998.) Who comes takes nothing from two others for a
    /// third, and what somebody leaves behind is spread over all that remain.
    func weight(of partition: Int) -> UInt64 {
        SplitMix64.mixed(SplitMix64.mixed(UInt64(bitPattern: rawValue)) ^ UInt64(partition + 1) &* SplitMix64.step)
    }
}
