/// Which socket a name in the folder stands for.
///
/// The device and inode alone would not do: the number of an inode that is gone is given to the next file.
struct SocketIdentity: Hashable, Sendable {
    let device: UInt64
    let inode: UInt64
    let madeSeconds: Int64
    let madeNanoseconds: Int64
}
