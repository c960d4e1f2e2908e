/// One epoch of one instance, written `p1#3`.
///
/// A position is a promise of one epoch: a process whose name was taken over may still promise truly what the new
/// holder of the name does not. So everything that is said of a writer says of which epoch.
public struct Writer: Hashable, Sendable, CustomStringConvertible {
    /// The instance's name.
    public let instance: InstanceName
    /// Counts the joins of the instance name and their ends, by leaving or being retired: an epoch is over for good when
    /// the next one is there. The first is 1; of a name that joined, left and joined again it is 3. 0 stands for a peer
    /// that speaks without an epoch.
    public let epoch: Int

    /// Nothing is checked here: which epochs there are the database says.
    public init(_ instance: InstanceName, epoch: Int) {
        self.instance = instance
        self.epoch = epoch
    }

    public var description: String { "\(instance)#\(epoch)" }
}

extension Writer {
    /// Reads `name#epoch`; a name alone has epoch 0, and may be one of other software, such as `a/b` or `a#b`.
    ///
    /// - Throws: ``InvalidWriter`` when the epoch is not a canonical number of at least 0 (`007` is not one), or
    ///   ``InvalidName``.
    public init(parsing text: String) throws {
        guard let mark = InvalidName.endOfHeardName(text) else {
            self.init(try InstanceName(heard: text), epoch: 0)
            return
        }
        let digits = text[text.index(after: mark)...]
        guard let epoch = Int(digits), epoch >= 0, String(epoch) == digits else {
            throw InvalidWriter(text: text)
        }
        self.init(try InstanceName(validating: String(text[..<mark])), epoch: epoch)
    }
}

/// A text that should have been an instance with its epoch, `name#3`.
public struct InvalidWriter: Error, Hashable, Sendable, CustomStringConvertible {
    /// What should have been one.
    public let text: String

    public var description: String { "\"\(text)\" is not an instance with its epoch, such as p1#3" }
}

/// A writer as it speaks: with the number that was drawn when it joined, `p1#3.5208`.
///
/// A promise is about one life of one writer in one database. Names and epochs are the same in many databases, and in one
/// that was put back; the number is not.
public struct Speaker: Hashable, Sendable, CustomStringConvertible {
    /// The writer, by name and epoch.
    public let writer: Writer
    /// At least 1; nil for a peer that speaks without one.
    public let nonce: Int64?

    /// Without a nonce for a peer that speaks without one.
    public init(_ writer: Writer, nonce: Int64?) {
        self.writer = writer
        self.nonce = nonce
    }

    public var description: String { nonce.map { "\(writer).\($0)" } ?? "\(writer)" }
}
