/// How a processor behaves. The defaults are right for most programs.
public struct ProcessorConfiguration: Sendable {
    /// What becomes of an event whose attempts are used up; see there.
    public typealias WhenExhausted = ProcessorMachine.WhenExhausted

    /// How many handlers run at once in this process.
    public var concurrency: Int
    /// Into how many parts the keys are split, which several processes share; 1 to 1,024. It is fixed when the processor is made.
    public var partitions: Int
    /// How often the handler is called for an event that it does not handle.
    public var maximumAttempts: Int
    /// How long it takes from one attempt to the next: about the shortest after the first, twice as long after each other.
    public var shortestDelay: Duration
    /// The longest time from one attempt to the next, however many there were.
    public var longestDelay: Duration
    /// What becomes of an event whose attempts are used up.
    public var whenExhausted: WhenExhausted
    /// How long a handler may run; nil: as long as it likes. One that runs longer is cancelled, and its event parked.
    public var timeLimit: Duration? = nil
    /// A process that has not shown that it lives for so long loses its partitions to others. It shows it five times as often,
    /// and starts nothing more when nobody has taken that for 0.6 of this time.
    public var silenceTimeout: Duration = .seconds(5)
    /// How long what is done may wait for its checkpoint.
    public var checkpointInterval: Duration = .milliseconds(50)
    /// How long graceful shutdown waits for the handlers that run. Then they are cancelled.
    public var shutDownTimeLimit: Duration = .seconds(8)

    /// - Precondition: the numbers are at least 1, and the delays positive and in order.
    public init(
        concurrency: Int = 8, partitions: Int = 16, maximumAttempts: Int = 5,
        shortestDelay: Duration = .milliseconds(100), longestDelay: Duration = .seconds(60),
        whenExhausted: WhenExhausted = .park
    ) {
        self.concurrency = concurrency
        self.partitions = partitions
        self.maximumAttempts = maximumAttempts
        self.shortestDelay = shortestDelay
        self.longestDelay = longestDelay
        self.whenExhausted = whenExhausted
    }
}

extension ProcessorMachine.Configuration {
    init(_ configuration: ProcessorConfiguration, order: ProcessorMachine.Order) {
        precondition(
            configuration.concurrency >= 1 && configuration.maximumAttempts >= 1,
            "there must be a first handler, and a try")
        precondition(
            (1...PartitionHash.mostPartitions).contains(configuration.partitions),
            "a processor has 1 to \(PartitionHash.mostPartitions) partitions")
        precondition(
            .zero < configuration.shortestDelay && configuration.shortestDelay <= configuration.longestDelay,
            "delays must be positive and in order")
        self.init()
        self.order = order
        concurrency = configuration.concurrency
        partitions = configuration.partitions
        maximumAttempts = configuration.maximumAttempts
        shortestDelay = configuration.shortestDelay
        longestDelay = configuration.longestDelay
        whenExhausted = configuration.whenExhausted
        timeLimit = configuration.timeLimit
        confirmationLimit = configuration.silenceTimeout * 3 / 5
        // Together as much as one batch of readers may have, and no less than an event each.
        windowBytes = max(1, (64 << 20) / configuration.partitions)
    }
}

/// What a handler can know of its call besides the event.
public struct HandlingContext: Hashable, Sendable {
    /// That of the handler that runs in this task; nil outside of handlers.
    @TaskLocal public static var current: HandlingContext?

    /// The processor's name.
    public let consumer: ConsumerName
    /// The number of the partition, from 0.
    public let partition: Int
    /// Grows each time that a process takes the partition over: whoever keeps the highest that it has seen, and refuses a lower
    /// one, is safe from a process that was thought dead and goes on (a fencing token).
    public let claim: Int
    /// 1 for the first call.
    public let attempt: Int
    /// Whether the event was parked before, so that later ones of its key may have been handled already.
    public let isLate: Bool
}
