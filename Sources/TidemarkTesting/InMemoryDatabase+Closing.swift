import Tidemark

extension InMemoryDatabase {
    /// The process of the instance is gone, as the operating system tells everyone.
    public mutating func endProcess(of instance: InstanceName, in name: StreamName) {
        streams[name]?.writers[instance]?.isProcessGone = true
    }

    /// Closes the member if it still is what was observed, and returns its position then; nil where it is not. Throws where
    /// nobody knows the name.
    public mutating func closeWriter(_ name: StreamName, observed: WriterObservation) throws(TidemarkError) -> StreamID?
    {
        try isUnchanged(observed, in: name) ? closeWriter(name, instance: observed.writer.instance) : nil
    }

    /// Retires the member if it still is what was observed; whether it did. Throws where nobody knows the name.
    public mutating func retire(_ name: StreamName, observed: WriterObservation) throws(TidemarkError) -> Bool {
        guard try isUnchanged(observed, in: name) else { return false }
        endEpoch(of: observed.writer.instance, in: name)
        return true
    }

    private func isUnchanged(_ observed: WriterObservation, in name: StreamName) throws(TidemarkError) -> Bool {
        let row = try found(observed.writer.instance, in: name).row
        return row.isMember && row.epoch == observed.writer.epoch && row.position == observed.position
            && (observed.isProcessGone || row.heartbeat == observed.heartbeat)
    }
}

extension InMemoryDatabase.Stream {
    /// The members' signs of life, by name. Nothing comes late in memory, so that all are read at the same time.
    var observations: [WriterObservation] {
        writers.filter(\.value.isMember).sorted { $0.key.rawValue < $1.key.rawValue }.map { name, row in
            WriterObservation(
                writer: Writer(name, epoch: row.epoch), heartbeat: row.heartbeat, position: row.position,
                isProcessGone: row.isProcessGone)
        }
    }
}
