/// Who wants to know what a generator does: the announcer.
protocol GeneratorObserver: AnyObject, Sendable {
    /// The watermark, or this instance's position, has changed. Called without locks, from any thread; must not block.
    func positionsChanged()
    /// These IDs of this instance are finished: committed by a scope, or with a tombstone in their rows. What this does to
    /// positions is told next.
    func finished(committed: [StreamID], abandoned: [StreamID])
}
