import Tidemark
import TidemarkPostgreSQL
import TidemarkRedis
import TidemarkReplication

/// How the program ends, as in sysexits.h.
enum ExitStatus: Int32 {
    case success = 0
    /// The call itself is wrong.
    case usage = 64
    /// What came in is wrong.
    case badData = 65
    /// The database, or the output, cannot be used.
    case unavailable = 69
    /// A mistake in the program.
    case internalError = 70
    /// The system does not give what every program is given.
    case systemError = 71
    /// It may go better later: another process took the name, or a wait ran out.
    case tryLater = 75
}

/// An error that knows how the program ends with it, and the one line that says so.
protocol ProgramError: Error, CustomStringConvertible {
    var status: ExitStatus { get }
    /// What the line on standard error begins with.
    var place: String { get }
}

extension ProgramError {
    var place: String { "tidemark" }
}

extension ExitStatus {
    init(of error: any Error) {
        switch error {
        case let error as any ProgramError: self = error.status
        case let error as TidemarkError: self.init(of: error)
        case is SocketFolderError: self = .unavailable
        case TCPTransportError.unusableTLS: self = .unavailable
        case is TCPTransportError: self = .usage
        case is RedisError, is UnreadableCertificate: self = .unavailable
        case PostgresError.invalidAddress: self = .usage
        case is PostgresError: self = .unavailable
        default: self = .internalError
        }
    }

    private init(of error: TidemarkError) {
        switch error {
        case .noKeyIndex(_, _, isBuilding: true): self = .tryLater
        case .invalidEvent, .conflict, .pruned, .notReached, .otherDatabase, .filterDiffers, .invalidFilter, .notParked,
            .handlerFailed,
            .tooManyHeld,
            .externalEventUnhandled:
            self = .badData
        case .instanceTaken, .consumerTaken, .consumerInUse, .retired, .closed, .reservationExpired, .sequenceTimedOut,
            .writeLockHeld, .lockedForReading, .fenced, .outcomeUnknown, .streamArriving, .keyPassed,
            .pruneHeldBack:
            self = .tryLater
        case .storeUnavailable, .notADatabase, .schemaTooNew, .readOnly, .storeFull, .unknownInstance, .unknownStream,
            .unknownConsumer, .databaseWentBackwards, .sequenceWentBackwards, .databaseReplaced,
            .acknowledgedEventsLost, .streamMoved, .streamExists, .moveFailed,
            .notPrimary, .noKeyIndex, .backupRefused:
            self = .unavailable
        case .partitionsDiffer, .isProcessor, .noProcessors, .noPruning: self = .usage
        case .notAMember, .alreadyPassed, .notYetPassed, .invalidSequenceAnswer, .stopped, .unsuitableTransaction:
            self = .internalError
        }
    }
}

/// The one line that an error is shown as, without the newline.
func errorLine(_ error: any Error) -> String {
    let place = (error as? any ProgramError)?.place ?? "tidemark"
    return "\(place): " + "\(error)".onOneLine
}

extension String {
    /// Without line breaks and other control characters, which could end the line or change the terminal.
    var onOneLine: String {
        var text = UnicodeScalarView()
        for scalar in unicodeScalars {
            let isControl = scalar.properties.generalCategory == .control
            text.append(isControl || scalar == "\u{2028}" || scalar == "\u{2029}" ? " " : scalar)
        }
        return String(text)
    }
}
