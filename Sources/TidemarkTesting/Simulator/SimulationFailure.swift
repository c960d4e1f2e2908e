import Tidemark

/// What went wrong in a simulation, with the command that replays it.
public struct SimulationFailure: Error, Hashable, Sendable, CustomStringConvertible {
    /// What sort of thing went wrong.
    public enum Kind: String, Hashable, Sendable {
        /// An event was committed at or below a reader's cursor.
        case skippedEvent
        /// An event was committed at or below a minimum that a reader could have read by.
        case committedBelowMinimum
        /// A writer committed at or below a position that it had promised.
        case brokenPromise
        /// A reader's place went down.
        case cursorWentBack
        /// A position, an epoch or a membership version went down.
        case positionWentBack
        /// An ID was handed out that was visible before.
        case handedOutAgain
        /// Somebody took an ID as known, or promised it, that a crash of the database can take back.
        case knownButNotDurable
        /// A reader was not given exactly the events between its old and its new cursor, in order.
        case wrongBatch
        /// An event that was acknowledged is not there, or elsewhere.
        case acknowledgedEventLost
        /// An event of a key was committed below its newest one, or was decided on another than the one that is before it.
        case keyHistory
        /// What was done with an event in the transaction of its checkpoint was done twice.
        case appliedTwice
        /// Two handlers of a processor ran at once for one event, or one key, and both claims were good.
        case twoHandlersOfOneKey
        /// A handler was called for an event before an earlier one of its key was handled or parked.
        case outOfOrder
        /// A processor's checkpoint is above an event that was neither handled nor parked.
        case passedUnhandled
        /// The faults stopped, and the minimum, a reader or a processor did not get to the newest event in time.
        case stuck
        /// The database was said to have gone backwards, and it had not.
        case falseAlarm
        /// The consumer that was put into the simulation threw.
        case consumer
    }

    /// What sort of thing went wrong.
    public let kind: Kind
    /// The seed of the run.
    public let seed: UInt64
    /// How many steps it took.
    public let step: Int
    /// What went wrong, for people.
    public let problem: String
    /// What was looked for.
    public let mode: SimulationConfiguration.Mode
    /// The rule that was taken away; nil: none.
    public let withoutRule: SimulationConfiguration.Rule?
    /// Whether copies of the database took over.
    public let promotes: Bool
    /// One line a step, when the configuration asked for it.
    public let history: [String]

    /// What repeats the failure, with the history, from the top of the package.
    public var replayCommand: String {
        var command = "scripts/simulate --seed \(seed)"
        if mode != .safety { command += " --mode \(mode.rawValue)" }
        if promotes { command += " --promotes" }
        if let withoutRule { command += " --without \(withoutRule.rawValue)" }
        return command
    }

    public var description: String {
        "\(kind.rawValue) after \(step) steps of seed \(seed): \(problem). To replay it: \(replayCommand)"
    }
}

/// What happened in a simulation: a hash over all of it, and the text when somebody wants to read it.
struct SimulationHistory: Sendable {
    private(set) var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    private(set) var lines: [String] = []
    let isKept: Bool

    init(isKept: Bool) {
        self.isKept = isKept
    }

    mutating func add(_ number: Int) {
        hash = SplitMix64.mixed(hash &+ UInt64(bitPattern: Int64(number)))
    }

    mutating func add(_ line: @autoclosure () -> String) {
        if isKept { lines.append(line()) }
    }
}
