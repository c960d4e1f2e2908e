import Synchronization
import Tidemark

/// One process of a simulation: the real state machines, and what it is about to do with them.
struct SimulatedProcess: Sendable {
    enum Phase: Hashable, Sendable {
        case down
        /// It has asked the database for an epoch.
        case joining
        case up
    }

    /// IDs of a scope, and how far its body has come.
    struct Scope: Sendable {
        enum Phase: Hashable, Sendable {
            case held
            case committing
            /// The database is asked what became of its IDs.
            case abandoning
        }

        let number: Int
        let ids: [StreamID]
        let events: [Event]
        let incarnation: Int
        /// Of its writer, as the machine names it.
        let joinedIn: Incarnation
        var phase: Phase
    }

    /// An answer of the sequence, or a group's transaction, that is waited for.
    struct Fetch: Sendable {
        /// The number of the request.
        let request: Int
        /// The number that the machine knows it by.
        let floor: Int
        let events: [Event]
        /// Nil for a scope's.
        let group: EventGroup?
        var isGroup: Bool { group != nil }
        let since: Duration
    }

    /// How far the reader has come with a batch.
    enum Reading: Sendable {
        case idle
        case asked(SnapshotRequest, StreamMachine.Note)
        case seen(SnapshotRequest, StreamMachine.Note, Snapshot)
        /// The wrong order: the snapshot, opened before the watermark is computed.
        case opened(InMemoryDatabase)
    }

    /// What is gone when the process crashes.
    struct Memory: Sendable {
        let machine: SimulatedMachine
        /// It was told to end: it leaves, and then it is gone.
        var isLeaving = false
        /// Another process took the name: it writes no more, and reads on.
        var isFailed = false
        var scopes: [Scope] = []
        /// Bodies that go on after their scope ran over its limit: nothing can stop a body, and it may commit yet.
        var lateBodies: [Scope] = []
        /// Answers that came after their fetch was given up, with the incarnation that they are of.
        var lateAnswers: [(ids: [StreamID], incarnation: Int, joinedIn: Incarnation)] = []
        /// Scopes that the database was asked about.
        var asked: Set<Int> = []
        var fetches: [Fetch] = []
        var cursor = ReaderCursor(after: 0)
        var reading = Reading.idle
        var claim: ConsumerClaim?
        /// The last batch that the reader delivered, for its checkpoint.
        var batch: EventBatch?
        /// What it has seen of others some time ago.
        var observations: [WriterObservation] = []
        /// The writers and the cursor as they were last, for the check that they only rise.
        var positions: [Writer: StreamID] = [:]
        var lastCursor: StreamID = 0
        /// The era that the machine had seen when it was checked last.
        var era: Era?
        /// Where its reader began, and what that was given since, with the marks.
        var start: StreamID = 0
        var given: [StreamID: CommitMark] = [:]
        /// Where what it has not done anything with begins, and the events of that. Only where a table is kept.
        var begin: StreamID = 0
        var unapplied: [Delivered] = []
        /// What it does for a processor; nil where it runs none.
        var worker: SimulatedWorker?
        var workerCursor: ReaderCursor?
        /// What it is about to read for that.
        var workerReading: (SnapshotRequest, StreamMachine.Note)?
        /// The newest era in the snapshot with which a place was reached, where that may have been of a life that is lost.
        var reachedIn: [StreamID: Era?] = [:]
        /// The newest era when it claimed its consumer.
        var claimEra: Era?

        /// The last epoch of the process; nil for a reader.
        var writer: Writer? { machine { $0.writer } }

        func isAsked(_ scope: Int) -> Bool { asked.contains(scope) }
    }

    let number: Int
    let instance: InstanceName
    let isWriter: Bool
    /// Whether a reader runs in it, which learns of the members from each snapshot, too.
    let hasReader: Bool
    var phase = Phase.down
    /// Stopped, as by SIGSTOP: it does nothing and hears nothing, and what it has sent goes on.
    var isStopped = false
    /// In this life it has nothing to write: it joins, announces, reads, and is waited for.
    var isIdle = false
    /// In this life its heartbeats and its reconciling are so late that nothing comes of them until the faults stop.
    var isQuiet = false
    /// Which life of the process it is.
    var run = 0
    var memory: Memory
    /// How often something was done with each event, in the database: with the checkpoint, or not at all.
    var table: [StreamID: Int] = [:]
    /// The table as the last backup of the database has it.
    var tableOfBackup: [StreamID: Int] = [:]
    /// The table as the copy of the database has it.
    var tableOfCopy: [StreamID: Int] = [:]
    /// The highest cursor of its reader, in whichever life.
    var reached: StreamID = 0
    var consumer: (any SimulationConsumer)?

    /// As the history names it: several processes may have the same instance name.
    var name: String { "\(instance)(\(number))" }
    var consumerName: ConsumerName { ConsumerName(stringLiteral: "consumer\(number)") }
    var isActive: Bool { phase == .up && !isStopped }
    /// Whether it may begin to write something.
    var mayWrite: Bool { isActive && !memory.isFailed && !memory.isLeaving && memory.writer != nil }

    /// Enough is under way: more would only make the history longer.
    var isBusy: Bool { memory.fetches.count + memory.scopes.count >= 3 }

    init(
        number: Int, instance: InstanceName, isWriter: Bool, hasReader: Bool, consumer: (any SimulationConsumer)?
    ) {
        self.number = number
        self.instance = instance
        self.isWriter = isWriter
        self.hasReader = hasReader
        self.consumer = consumer
        memory = Memory(number: number, instance: instance)
    }
}

extension SimulatedProcess.Memory {
    init(number: Int, instance: InstanceName) {
        machine = SimulatedMachine(
            StreamMachine(
                instance: instance, membership: Membership(members: [:], version: 0), sequence: 0,
                configuration: Self.configuration(number)))
    }

    init(number: Int, instance: InstanceName, joined: Joined) {
        machine = SimulatedMachine(
            StreamMachine(
                instance: instance, membership: joined.membership, writer: joined.writer, sequence: joined.position,
                fence: joined.fence, configuration: Self.configuration(number)))
    }

    private static func configuration(_ number: Int) -> StreamMachine.Configuration {
        typealias Timing = SimulationConfiguration.Timing
        var configuration = StreamMachine.Configuration()
        configuration.heartbeatInterval = Timing.heartbeat
        configuration.reconcileInterval = Timing.reconcile
        configuration.stallInterval = Timing.stall
        configuration.closesSilentWriters = true
        configuration.silenceTimeout = Timing.timeout
        configuration.retirementTimeout = Timing.retirement
        // Some have positions tell of the rows of a group.
        configuration.announcedRows = number % 2 == 0 ? 64 : 1
        return configuration
    }
}

/// The state machine of a process, as its shell holds it. There is one thread, so that nobody waits for the lock.
///
/// A copy of a simulation has the same machines.
final class SimulatedMachine: Sendable {
    private let state: Mutex<StreamMachine>

    init(_ machine: consuming sending StreamMachine) { state = Mutex(machine) }

    func callAsFunction<R: Sendable, E: Error>(_ body: (inout StreamMachine) throws(E) -> R) throws(E) -> R {
        let result: Result<R, E> = state.withLock { machine in
            do throws(E) {
                return .success(try body(&machine))
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }
}
