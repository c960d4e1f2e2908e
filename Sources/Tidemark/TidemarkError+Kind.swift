extension TidemarkError {
    /// What a caller may do about an error.
    public enum Kind: Hashable, Sendable {
        /// The same call may succeed later: the database is busy or cannot be reached, or an ID was given up. An event
        /// that was persisted all the same keeps its place when it is persisted again.
        case tryAgain
        /// The call asks for something that cannot be: another one may succeed.
        case callerMistake
        /// Trying again cannot help: somebody has to look.
        case final
    }

    /// Which sort of error it is, so that callers need not know each case.
    public var kind: Kind {
        switch self {
        case .noKeyIndex(_, _, isBuilding: true): .tryAgain
        case .fenced, .outcomeUnknown, .keyPassed, .sequenceTimedOut, .reservationExpired, .closed, .retired,
            .consumerInUse,
            .storeUnavailable, .storeFull,
            .writeLockHeld, .lockedForReading, .streamArriving, .pruneHeldBack:
            .tryAgain
        case .invalidEvent, .notYetPassed, .filterDiffers, .invalidFilter, .otherDatabase, .notAMember,
            .unknownInstance,
            .unknownStream, .unknownConsumer, .notReached,
            .unsuitableTransaction, .streamExists, .backupRefused, .partitionsDiffer, .isProcessor, .noProcessors,
            .notParked,
            .externalEventUnhandled, .conflict, .noKeyIndex, .pruned, .noPruning:
            .callerMistake
        case .handlerFailed, .tooManyHeld, .sequenceWentBackwards, .invalidSequenceAnswer, .instanceTaken,
            .consumerTaken, .alreadyPassed,
            .databaseWentBackwards,
            .acknowledgedEventsLost, .streamMoved, .moveFailed, .notPrimary, .stopped, .databaseReplaced, .notADatabase,
            .schemaTooNew, .readOnly:
            .final
        }
    }
}
