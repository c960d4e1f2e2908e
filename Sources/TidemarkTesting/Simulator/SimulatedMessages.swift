import Tidemark

/// What a process asks of the database: on its way there, or done and the answer on its way back.
struct SimulatedRequest: Sendable {
    enum Body: Sendable {
        case join(InstanceName, after: Writer?)
        case leave(Writer)
        case heartbeat(Heartbeat)
        case reconcile(StreamMachine.Reconcile, above: StreamID)
        case allocate(Int, Writer)
        case commit(ids: [StreamID], events: [Event], Writer, incarnation: Int)
        /// A group whose IDs the transaction allocates.
        case group(EventGroup)
        /// Such a transaction, with its IDs, before it commits.
        case openGroup(
            ids: [StreamID], events: [Event], Writer, incarnation: Int, refusals: [Int: CallRefusal])
        case abandon(ids: [StreamID], scope: Int, Writer, incarnation: Int)
        /// What became of a group, which was asked for by the request of this number.
        case settle(request: Int, EventGroup)
        case close(WriterObservation)
        case retire(WriterObservation)
        /// Whatever its heartbeat says.
        case closeByHand(InstanceName)
        case checkWritable
    }

    let number: Int
    let process: Int
    /// Which life of the process asked; answers to an earlier one are for nobody.
    let run: Int
    /// When it was asked, on the clock of the simulation.
    let asked: Duration
    /// The incarnation in which the process has joined.
    let joinedIn: Incarnation
    var body: Body
    /// The connection is lost: it may still be done, and nobody gets the answer.
    var isOrphan = false
}

struct SimulatedAnswer: Sendable {
    enum Body: Sendable {
        case done
        case joined(Joined)
        case heartbeat(HeartbeatAnswer)
        case reconciled(Reconciliation)
        case allocated([StreamID], incarnation: Int)
        case persisted([PersistOutcome], refusals: [Int: CallRefusal] = [:])
        /// Of the IDs asked about, those that hold an event, and those of an earlier incarnation that hold nothing.
        case abandoned(committed: [StreamID], void: [StreamID])
        /// What became of a group; nil when it was not committed and never will be.
        case settled([PersistOutcome]?, fence: Int64)
        case refused(TidemarkError)
        /// The IDs are of an earlier incarnation.
        case void
        /// The connection was lost: what was asked was done, or will be, or not.
        case lost
    }

    let request: SimulatedRequest
    var body: Body
}

/// What one instance tells another over replication.
struct SimulatedAnnouncement: Sendable {
    enum Body: Sendable {
        case position(previous: StreamID, new: StreamID)
        case row(StreamID)
        /// Where is everyone?
        case question
    }

    let to: Int
    /// Nobody in particular asks.
    let speaker: Speaker?
    let body: Body
}
